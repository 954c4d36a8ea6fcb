{{/* The name of every object: the release's, with the chart's unless that is in it already. 40 characters leave room for suffixes. */}}
{{- define "plaudit.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What tells this release's operators from everything else; never changed, since a Deployment's selector cannot be. */}}
{{- define "plaudit.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of objects that select no pods. */}}
{{- define "plaudit.labels" -}}
{{- with .Values.commonLabels }}
{{- toYaml . }}
{{ end -}}
{{ include "plaudit.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: plaudit
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "plaudit.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "plaudit.fullname" .) -}}
{{- end -}}

{{- define "plaudit.leaseName" -}}
{{- .Values.leaderElection.leaseName | default (include "plaudit.fullname" .) -}}
{{- end -}}

{{/* An image by digest or tag: takes image and, for where neither is given, tag. */}}
{{- define "plaudit.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (.image.tag | default .tag) -}}
{{- end -}}
{{- end -}}

{{- define "plaudit.operatorImage" -}}
{{- include "plaudit.image" (dict "image" .Values.image "tag" .Chart.AppVersion) -}}
{{- end -}}

{{- define "plaudit.workerImage" -}}
{{- include "plaudit.image" (dict "image" .Values.worker.image "tag" (.Values.image.tag | default .Chart.AppVersion)) -}}
{{- end -}}

{{/* Egress to peers on TCP ports: takes to and ports. No peer: anywhere. */}}
{{- define "plaudit.egress" -}}
- ports:
  {{- range .ports }}
  - port: {{ . }}
    protocol: TCP
  {{- end }}
  {{- with .to }}
  to:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "plaudit.egressDns" -}}
- ports:
  - port: 53
    protocol: UDP
  - port: 53
    protocol: TCP
  {{- with .Values.networkPolicy.dns.to }}
  to:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
