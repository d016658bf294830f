{{- define "quorumkv.name" -}}
{{- .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Also the beginning of the members' ids, which have at most 63 letters. */}}
{{- define "quorumkv.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "quorumkv.selector" -}}
app.kubernetes.io/name: {{ include "quorumkv.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "quorumkv.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "quorumkv.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Where the pods find each other by name. */}}
{{- define "quorumkv.domain" -}}
{{- printf "%s-peers.%s.svc.%s" (include "quorumkv.fullname" .) .Release.Namespace .Values.clusterDomain -}}
{{- end -}}

{{/* The founding members: whoever joins later needs any of them. Not all members: each new one would have all others restarted. */}}
{{- define "quorumkv.peers" -}}
{{- range $i := until (int .Values.founders) -}}
{{- if $i }},{{ end -}}
{{- include "quorumkv.fullname" $ }}-{{ $i }}@{{ include "quorumkv.fullname" $ }}-{{ $i }}.{{ include "quorumkv.domain" $ }}:{{ $.Values.ports.grpc -}}
{{- end -}}
{{- end -}}

{{/* Names under which HTTP is reached inside the cluster, and those that were given. */}}
{{- define "quorumkv.hosts" -}}
{{- include "quorumkv.fullname" . }},{{ include "quorumkv.fullname" . }}.{{ .Release.Namespace }},{{ include "quorumkv.fullname" . }}.{{ .Release.Namespace }}.svc,{{ include "quorumkv.fullname" . }}.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain -}}
{{- range .Values.httpAllowHost -}},{{ . }}{{- end -}}
{{- end -}}

{{- define "quorumkv.protected" -}}
{{- if and .Values.tls.existingSecret (or .Values.auth.existingSecret .Values.tls.requireClientCert) -}}yes{{- end -}}
{{- end -}}

{{/* By HTTP, or where that wants a certificate, which a kubelet has not, by the program itself. */}}
{{- define "quorumkv.probe" -}}
{{- if .root.Values.tls.requireClientCert -}}
exec:
  command: [kv-server, health, --quiet, --addr=127.0.0.1:{{ .root.Values.ports.grpc }}{{ if eq .path "/livez" }}, --alive{{ end }}]
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ if .root.Values.tls.existingSecret }}HTTPS{{ else }}HTTP{{ end }}
{{- end -}}
{{- end -}}
