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

{{- /* Resources, or those of a preset. Arguments: resources, preset, and the presets by name. */ -}}
{{- define "alb-controller.resources" -}}
{{- $resources := .resources | default dict }}
{{- if not $resources }}{{ $resources = get .presets (.preset | default "none") | default dict }}{{ end }}
{{- toJson $resources }}
{{- end }}

{{- define "alb-controller.controllerPresets" -}}
small: {requests: {cpu: 20m, memory: 40Mi}, limits: {memory: 256Mi}}
medium: {requests: {cpu: 100m, memory: 96Mi}, limits: {memory: 512Mi}}
large: {requests: {cpu: 500m, memory: 256Mi}, limits: {memory: 2Gi}}
{{- end }}

{{- define "alb-controller.proxyPresets" -}}
small: {requests: {cpu: 20m, memory: 16Mi}, limits: {memory: 256Mi}}
medium: {requests: {cpu: 500m, memory: 64Mi}, limits: {memory: 512Mi}}
large: {requests: {cpu: "2", memory: 256Mi}, limits: {memory: 2Gi}}
{{- end }}

{{- /* Where proxies may run, as fields of a pod specification. */ -}}
{{- define "alb-controller.proxyScheduling" -}}
{{- $scheduling := dict }}
{{- range $field := list "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" "priorityClassName" }}
{{- with get $.Values.dataPlane $field }}{{ $_ := set $scheduling $field . }}{{ end }}
{{- end }}
{{- toJson $scheduling }}
{{- end }}

{{- /* What the API server would refuse only when the controller makes it. */ -}}
{{- define "alb-controller.checkAutoscaling" -}}
{{- $autoscaling := .Values.dataPlane.autoscaling }}
{{- if gt (int $autoscaling.minReplicas) (int $autoscaling.maxReplicas) }}
{{- fail (printf "dataPlane.autoscaling.minReplicas is %v: expected no more than maxReplicas, %v" $autoscaling.minReplicas $autoscaling.maxReplicas) }}
{{- end }}
{{- end }}
