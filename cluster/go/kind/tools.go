//go:build tools

// Package tools pins kind, for machines with a Docker engine.
package tools

import _ "sigs.k8s.io/kind"
