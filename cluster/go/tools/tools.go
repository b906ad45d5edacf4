//go:build tools

// Package tools pins the programs beside Kubernetes itself. They share one module, and with it the Kubernetes
// libraries: those are compiled once instead of once per program.
package tools

import (
	_ "github.com/rancher/local-path-provisioner"
	_ "github.com/yannh/kubeconform/cmd/kubeconform"
	_ "helm.sh/helm/v4/cmd/helm"
)
