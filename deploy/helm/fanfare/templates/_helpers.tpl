{{- define "fanfare.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "fanfare.selector" -}}
app.kubernetes.io/name: fanfare
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fanfare.labels" -}}
{{ include "fanfare.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "fanfare.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}
{{- else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/*
The settings, one a line, each with its whole name, and each value as text: Helm writes
a number such as 2000000 as 2e+06, which a node refuses. It takes a dict of prefix,
settings, and files, the settings that have a file.
*/}}
{{- define "fanfare.settings" -}}
{{- range $key, $value := .settings }}
{{- $name := printf "%s%s" $.prefix $key }}
{{- if kindIs "map" $value }}
{{- include "fanfare.settings" (dict "prefix" (printf "%s." $name) "settings" $value "files" $.files) }}
{{- else if not (kindIs "invalid" $value) }}
{{- if has $name (list "listen" "admin_listen" "node" "drain") }}
{{- fail (printf "settings: %s is set by the chart (drain: with drainSeconds)" $name) }}
{{- else if or (regexMatch "(^|[._])secret$" $name) (has $name (list "auth.api_keys" "webhooks")) }}
{{- fail (printf "settings: %s is a secret: put it into the Secret that secret.name names, and its key into secret.files" $name) }}
{{- else if get $.files (trimSuffix "_file" $name) }}
{{- fail (printf "settings: %s is also in secret.files: keep one (take the other out with \"\")" $name) }}
{{- end }}
{{ $name }}: {{ if kindIs "slice" $value }}{{ $all := list }}{{ range $value }}{{ $all = append $all (include "fanfare.text" .) }}{{ end }}{{ toJson $all }}
{{- else }}{{ include "fanfare.text" $value | quote }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "fanfare.text" -}}
{{- if kindIs "float64" . }}{{ if eq . (floor .) }}{{ . | int64 }}{{ else }}{{ . }}{{ end }}{{ else }}{{ . }}{{ end }}
{{- end }}
