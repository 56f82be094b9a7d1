{{/* The name of objects, short enough that the longest suffix fits. */}}
{{- define "seam.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "seam.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* metadata of an object: (dict "root" $ "suffix" "-metrics" "namespace" "shop" "labels" {…} "annotations" {…}). Without
namespace it is the release's; "" is none. name takes the place of the whole name. What is unselected is a pod that no selector
of the others may find. */}}
{{- define "seam.metadata" -}}
{{- $root := .root -}}
name: {{ .name | default (printf "%s%s" (include "seam.fullname" $root) (.suffix | default "")) | quote }}
{{- $namespace := $root.Release.Namespace -}}
{{- if hasKey . "namespace" -}}{{- $namespace = .namespace -}}{{- end -}}
{{- with $namespace }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- include "seam.labels" . | nindent 2 }}
{{- with merge (dict) (.annotations | default dict) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "seam.labels" -}}
{{- $own := dict "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") "app.kubernetes.io/version" .root.Chart.AppVersion "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $labels := merge (include "seam.selectorLabels" .root | fromYaml) $own (.labels | default dict) .root.Values.commonLabels -}}
{{- if .unselected -}}
{{- $name := "app.kubernetes.io/name" -}}
{{- $labels = set (omit $labels $name) "app.kubernetes.io/part-of" (get $labels $name) -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end -}}

{{- define "seam.serviceAccountName" -}}
{{- $default := ternary (include "seam.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $default .Values.serviceAccount.name -}}
{{- end -}}

{{- define "seam.image" -}}
{{- with .Values.image -}}
{{- .repository -}}
{{- if .digest -}}@{{ .digest }}{{- else -}}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* The name of the Lease, which RBAC names too. */}}
{{- define "seam.lease" -}}
{{ include "seam.fullname" . }}.connect.seam.co
{{- end -}}

{{/* The rules of a role of config/rbac: (dict "root" $ "file" "role.yaml"). */}}
{{- define "seam.rules" -}}
{{- $file := printf "files/rbac/%s" .file -}}
{{- $role := .root.Files.Get $file | fromYaml -}}
{{- $rules := required (printf "%s has no rules" $file) $role.rules -}}
rules:
{{ $rules | toYaml | replace "seam-session-operator.connect.seam.co" (include "seam.lease" .root) }}
{{- end -}}

{{/* A binding's end: (dict "root" $ "kind" "ClusterRole" "suffix" "-metrics"). */}}
{{- define "seam.roleRef" -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ printf "%s%s" (include "seam.fullname" .root) (.suffix | default "") | quote }}
subjects:
- kind: ServiceAccount
  name: {{ include "seam.serviceAccountName" .root | quote }}
  namespace: {{ .root.Release.Namespace | quote }}
{{- end -}}
