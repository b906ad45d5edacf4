{{- define "finetune-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name -}}
{{- end }}

{{- define "finetune-operator.selector" -}}
app.kubernetes.io/name: {{ include "finetune-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "finetune-operator.labels" -}}
{{ include "finetune-operator.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: finetune-operator
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* One pod serves all of them; a second server on a port would not start. */ -}}
{{- define "finetune-operator.checkPorts" -}}
{{- $ports := list (int .Values.statusServer.port) (int .Values.metrics.port) -}}
{{- if .Values.webhook.enabled }}{{ $ports = append $ports (int .Values.webhook.port) }}{{ end -}}
{{- if ne (len $ports) (len (uniq $ports)) -}}
{{- fail "statusServer.port, webhook.port and metrics.port: two of them are the same. Give each server a port of its own." -}}
{{- end -}}
{{- end }}

{{- define "finetune-operator.tlsSecret" -}}
{{- .Values.tls.secretName | default (printf "%s-tls" (include "finetune-operator.name" .)) -}}
{{- end }}

{{- /* "true" if the operator makes its certificate itself, else empty. */ -}}
{{- define "finetune-operator.makesCertificate" -}}
{{- if not (or .Values.tls.secretName .Values.tls.certManager.issuerRef) }}true{{ end -}}
{{- end }}

{{- /* "true" if the operator keeps the webhook's caBundle, else empty. */ -}}
{{- define "finetune-operator.keepsCaBundle" -}}
{{- $others := or .Values.webhook.caBundle .Values.tls.certManager.issuerRef -}}
{{- if and .Values.webhook.enabled (not $others) }}true{{ end -}}
{{- end }}
