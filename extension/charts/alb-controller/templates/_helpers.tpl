{{- define "alb-controller.labels" -}}
app.kubernetes.io/name: alb-controller
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "alb-controller.selector" -}}
app: alb-controller
{{- end }}
