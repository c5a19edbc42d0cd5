{{- define "alertd.name" -}}
{{- if contains "alertd" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-alertd" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "alertd.selector" -}}
app.kubernetes.io/name: alertd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "alertd.labels" -}}
{{ include "alertd.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "alertd.secret" -}}
{{- .Values.existingSecret | default (printf "%s-secrets" (include "alertd.name" .)) }}
{{- end }}
