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

{{- /*
The revision that is to inject the sidecar: the one that is asked for. Without one, and where no control plane injects by default,
that of the AKS add-on, if the edition supports it: the add-on names it in its ConfigMaps istio-sidecar-injector-<revision>.
*/ -}}
{{- define "extension.revision" -}}
{{- if .Values.revision -}}
{{ .Values.revision }}
{{- else if has .Values.edition (list "2026-04-22" "2026-06-24") -}}
{{- $default := false }}
{{- range (lookup "admissionregistration.k8s.io/v1" "MutatingWebhookConfiguration" "" "").items }}
{{- $labels := .metadata.labels | default dict }}
{{- if and (eq (get $labels "app") "sidecar-injector") (or (eq (get $labels "istio.io/rev") "default") (eq (get $labels "istio.io/tag") "default")) }}
{{- $default = true }}
{{- end }}
{{- end }}
{{- $revisions := list }}
{{- range (lookup "v1" "ConfigMap" "aks-istio-system" "").items }}
{{- if hasPrefix "istio-sidecar-injector-" .metadata.name }}
{{- $revisions = append $revisions (trimPrefix "istio-sidecar-injector-" .metadata.name) }}
{{- end }}
{{- end }}
{{- if and $revisions (not $default) -}}
{{ $revisions | sortAlpha | last }}
{{- end }}
{{- end }}
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
