{{- define "extension.name" -}}
alb-controller-istio-extension
{{- end }}

{{- define "extension.selector" -}}
app.kubernetes.io/name: {{ include "extension.name" . }}
{{- end }}

{{- define "extension.labels" -}}
{{ include "extension.selector" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "extension.certificates" -}}
/etc/istio-output-certs
{{- end }}
