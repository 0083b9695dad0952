{{- define "cryptopipeline.fullname" -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "cryptopipeline.operator" -}}
{{- printf "%s-operator" (include "cryptopipeline.fullname" .) -}}
{{- end -}}

{{- define "cryptopipeline.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "cryptopipeline.operator" .) -}}
{{- end -}}

{{- define "cryptopipeline.image" -}}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}

{{- define "cryptopipeline.operatorSelector" -}}
app.kubernetes.io/name: cryptopipeline-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Of the pods of `helm test`, which the operator's Service and Deployment must not take for theirs. */ -}}
{{- define "cryptopipeline.testSelector" -}}
app.kubernetes.io/name: cryptopipeline-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- /* Of all parts of the demo. */ -}}
{{- define "cryptopipeline.demo" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: cryptopipeline-demo
{{- end -}}

{{- /* Call with (dict "root" $ "name" NAME): the labels that select a part of the demo. */ -}}
{{- define "cryptopipeline.demoSelector" -}}
app.kubernetes.io/name: {{ .name }}
{{ include "cryptopipeline.demo" .root }}
{{- end -}}

{{- /* The label of every worker pod, of whatever pipeline: MANAGED_BY_SELECTOR in the operator's names.rs. */ -}}
{{- define "cryptopipeline.workers" -}}
app.kubernetes.io/managed-by: cryptopipeline-operator
{{- end -}}

{{- /* Call with (dict "root" $ "selector" YAML "labels" MAP "annotations" MAP), all but the first if there are any. What selects
wins over what users wish. */ -}}
{{- define "cryptopipeline.labels" -}}
{{- $chart := dict
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version)
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/version" .root.Chart.AppVersion -}}
labels:
  {{- merge (.selector | default "" | fromYaml) $chart (.labels | default dict) .root.Values.commonLabels | toYaml | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Call with (dict "root" $ "name" NAME "selector" YAML "port" NAME). */ -}}
{{- define "cryptopipeline.demoNetworkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace }}
  {{- include "cryptopipeline.labels" . | nindent 2 }}
spec:
  podSelector:
    matchLabels:
      {{- .selector | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
  - ports:
    - {port: {{ .port }}}
    from:
    - namespaceSelector: {}
      podSelector:
        matchLabels:
          {{- include "cryptopipeline.workers" .root | nindent 10 }}
    - podSelector:
        matchLabels:
          {{- include "cryptopipeline.operatorSelector" .root | nindent 10 }}
  egress:
  {{- include "cryptopipeline.dns" .root | nindent 2 }}
{{- end -}}

{{- /* Wherever the cluster's name server is, and behind its Service at other ports (OpenShift, Gardener, vCluster). */ -}}
{{- define "cryptopipeline.dns" -}}
- ports:
  {{- range list 53 5353 8053 1053 }}
  - {port: {{ . }}, protocol: UDP}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
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
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, watch, create, patch, delete]
# By which ports the servers answer that pipelines name by a Service: their policies have to let those through.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
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
