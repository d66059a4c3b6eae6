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

{{- /* What the program would refuse to start with. */ -}}
{{- define "extension.checkLease" -}}
{{- $lease := .Values.lease }}
{{- if ge (float64 $lease.renewDeadline) (float64 $lease.duration) }}
{{- fail (printf "lease.renewDeadline is %v s: expected less than lease.duration, %v s: a leader must stop before another may start" $lease.renewDeadline $lease.duration) }}
{{- end }}
{{- if ge (mulf $lease.retryPeriod 1.2) (float64 $lease.renewDeadline) }}
{{- fail (printf "lease.retryPeriod is %v s: expected, with a fifth more for jitter, less than lease.renewDeadline, %v s: a leader must get at least one try to renew" $lease.retryPeriod $lease.renewDeadline) }}
{{- end }}
{{- end }}

{{- define "extension.presets" -}}
small: {requests: {cpu: 50m, memory: 64Mi}, limits: {cpu: 50m, memory: 64Mi}}
medium: {requests: {cpu: 100m, memory: 64Mi}, limits: {memory: 128Mi}}
large: {requests: {cpu: 200m, memory: 128Mi}, limits: {memory: 256Mi}}
{{- end }}

{{- /* Resources, or those of the preset. */ -}}
{{- define "extension.resources" -}}
{{- $resources := .Values.resources | default dict }}
{{- if not $resources }}
{{- $resources = get (include "extension.presets" . | fromYaml) (.Values.resourcesPreset | default "none") | default dict }}
{{- end }}
{{- toJson $resources }}
{{- end }}
