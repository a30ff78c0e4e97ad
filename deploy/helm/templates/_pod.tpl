{{/* The name of the worker's resources: it has the queue's name, as far as Kubernetes allows its characters. */}}
{{- define "worker" -}}
{{ printf "clearml-hpo-worker-%s" (regexReplaceAll "[^a-z0-9]+" (lower .Values.queue) "-" | trimAll "-") | trunc 52 | trimSuffix "-" }}
{{- end }}

{{/* An address of ClearML: that of the embedded server, or the one that was given. */}}
{{- define "host" -}}
{{- $ports := dict "api" "8008" "web" "8080" "files" "8081" }}
{{- if .root.Values.embeddedServer.enabled -}}
http://clearml-hpo-server.{{ .root.Release.Namespace }}.svc:{{ get $ports .kind }}
{{- else -}}
{{ required (printf "server.%s is needed without embeddedServer" .kind) (get .root.Values.server .kind) }}
{{- end }}
{{- end }}

{{/* Arguments of a worker of the queue, as JSON. Kubernetes replaces $(NAME). */}}
{{- define "serve" -}}
{{- $values := .root.Values.workers }}
{{- $words := list "worker" "--queue" (replace "$(" "$$(" .root.Values.queue) }}
{{- if $values.gpus }}
{{- $words = concat $words (list "--gpus" (until (int $values.gpus) | join ",")) }}
{{- else }}
{{- $words = concat $words (list "--cpu" "1") }}
{{- end }}
{{- $words = concat $words (list "--drain-timeout" (printf "%dm" (int $values.drainMinutes))) }}
{{- if .leaves }}
{{- $words = concat $words (list "--idle-timeout" $values.idleTimeout) }}
{{- end }}
{{- $words | toJson }}
{{- end }}

{{/* What every kind of pod is labelled with. */}}
{{- define "labels" -}}
app.kubernetes.io/name: clearml-hpo
app.kubernetes.io/component: {{ .role }}
{{- if eq .role "worker" }}
app.kubernetes.io/instance: {{ include "worker" .root }}
{{- end }}
{{- end }}

{{/* Seconds between SIGTERM and SIGKILL of what drains: the time to drain, and five minutes. */}}
{{- define "grace" -}}
{{ add (mul (int .Values.workers.drainMinutes) 60) 300 }}
{{- end }}

{{/* A pod with its labels: not root, nothing written but to its own volumes, keys from a secret. */}}
{{- define "pod" -}}
metadata:
  labels:
    {{- include "labels" . | nindent 4 }}
  annotations:
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    karpenter.sh/do-not-disrupt: "true"
spec:
  {{- include "spec" . | nindent 2 }}
{{- end }}

{{/* role, args, grace, cores, memory, gpus, restart, extra (keys of the container), config (files in /study), withoutKeys, command. */}}
{{- define "spec" -}}
terminationGracePeriodSeconds: {{ .grace }}
{{- with .restart }}
restartPolicy: {{ . }}
{{- end }}
shareProcessNamespace: true
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  seccompProfile: {type: RuntimeDefault}
{{- if .gpus }}
tolerations:
  - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
{{- end }}
containers:
  - name: {{ .role }}
    image: {{ .root.Values.image }}
    command: {{ .command | default "[clearml-hpo]" }}
    args: {{ .args }}
    {{- if not .withoutKeys }}
    envFrom:
      - configMapRef: {name: clearml-server}
      - secretRef: {name: {{ .root.Values.credentialsSecret }}}
    {{- end }}
    {{- with .extra }}
    {{- . | nindent 4 }}
    {{- end }}
    resources:
      requests: {cpu: {{ .cores | quote }}, memory: {{ .memory }}}
      limits:
        memory: {{ .memory }}
        {{- with .gpus }}
        nvidia.com/gpu: {{ . | quote }}
        {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: shm, mountPath: /dev/shm}
      - {name: tmp, mountPath: /tmp}
      - {name: home, mountPath: /home/hpo}
      {{- if .config }}
      - {name: study, mountPath: /study}
      {{- end }}
volumes:
  - name: shm
    emptyDir: {medium: Memory, sizeLimit: {{ .memory }}}
  - name: tmp
    emptyDir: {}
  - name: home
    emptyDir: {}
  {{- with .config }}
  - name: study
    configMap: {name: {{ . }}}
  {{- end }}
{{- end }}
