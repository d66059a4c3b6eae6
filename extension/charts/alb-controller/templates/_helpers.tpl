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

{{- /* What the program would refuse to start with. */ -}}
{{- define "alb-controller.checkLease" -}}
{{- $lease := .Values.lease }}
{{- if ge (float64 $lease.renewDeadline) (float64 $lease.duration) }}
{{- fail (printf "lease.renewDeadline is %v s: expected less than lease.duration, %v s: a leader must stop before another may start" $lease.renewDeadline $lease.duration) }}
{{- end }}
{{- if ge (mulf $lease.retryPeriod 1.2) (float64 $lease.renewDeadline) }}
{{- fail (printf "lease.retryPeriod is %v s: expected, with a fifth more for jitter, less than lease.renewDeadline, %v s: a leader must get at least one try to renew" $lease.retryPeriod $lease.renewDeadline) }}
{{- end }}
{{- end }}
