{{- define "cryptopipeline.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cryptopipeline.operator" -}}
{{- printf "%s-operator" (include "cryptopipeline.fullname" .) -}}
{{- end -}}

{{- define "cryptopipeline.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- define "cryptopipeline.operatorSelector" -}}
app.kubernetes.io/name: cryptopipeline-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cryptopipeline.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- /* Call with (dict "root" $ "name" NAME): the labels that select a part of the demo. */ -}}
{{- define "cryptopipeline.demoSelector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/part-of: cryptopipeline-demo
{{- end -}}

{{- /* What the restricted pod security standard asks of a container. */ -}}
{{- define "cryptopipeline.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end -}}

{{- /* What the operator may do with a namespace. */ -}}
{{- define "cryptopipeline.rules" -}}
- apiGroups: [cryptopipeline.dev]
  resources: [cryptopipelines]
  verbs: [list, watch, patch]
- apiGroups: [cryptopipeline.dev]
  resources: [cryptopipelines/status]
  verbs: [patch]
# Objects that block the deletion of their owner need this where the admission plugin asks for it.
- apiGroups: [cryptopipeline.dev]
  resources: [cryptopipelines/finalizers]
  verbs: [update]
# Server-side apply creates and patches; what is no longer wanted is deleted.
- apiGroups: [apps]
  resources: [deployments]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [configmaps, serviceaccounts]
  verbs: [list, watch, create, patch, delete]
# Whether and where the workers answer.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# By name, where a pipeline refers to one; never listed.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
