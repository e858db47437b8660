{{- define "mentor.labels" -}}
{app.kubernetes.io/component: {{ . }}, app.kubernetes.io/name: mentor, app.kubernetes.io/part-of: mentor}
{{- end }}

{{- /* Addresses of all meta-learners. Clients and learners hold the list and find the leader themselves, by the
lease and not by a probe. */}}
{{- define "mentor.meta_learners" -}}
{{- if .Values.ha.enabled -}}
{{ range $n := until 3 }}{{ if $n }},{{ end }}meta-learner-{{ $n }}.meta-learner.{{ $.Release.Namespace }}.svc:50052{{ end }}
{{- else -}}
meta-learner:50052
{{- end }}
{{- end }}

{{- /* The next four share their argument: the root, the role's values, its Secret, and what a role has otherwise
than the others. */}}

{{- /* Fields of a pod. */}}
{{- define "mentor.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 60
nodeSelector: {{ merge (dict "kubernetes.io/arch" "amd64") .values.nodeSelector | toJson }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- /* Fields of a container. */}}
{{- define "mentor.container" -}}
image: {{ .values.image | quote }}
{{- with .root.Values.imagePullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
# Opening a large store takes time.
startupProbe: { {{- .probe | default "grpc: {port: 8081, service: liveness}" }}, periodSeconds: 2, timeoutSeconds: 2, failureThreshold: 60}
readinessProbe: { {{- .probe | default (printf "grpc: {port: 8081, service: %s}" (.ready | default "readiness")) }}, periodSeconds: 5, timeoutSeconds: 2, failureThreshold: 2}
livenessProbe: { {{- .probe | default "grpc: {port: 8081, service: liveness}" }}, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6}
resources:
{{- range $bound, $of := .values.resources }}
  {{ $bound }}: {{ merge (ternary (dict "nvidia.com/gpu" "1") dict ($.gpu | default false)) $of | toJson }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "mentor.mounts" -}}
- {name: secrets, mountPath: /run/secrets/mentor, readOnly: true}
- {name: tmp, mountPath: /tmp}
{{- end }}

{{- define "mentor.volumes" -}}
- name: secrets
  secret: {secretName: {{ .secret | quote }}, defaultMode: 0440}
- name: tmp
  emptyDir: {{ .tmp | default "{medium: Memory, sizeLimit: 64Mi}" }}
{{- end }}

{{- /* Programs see the node's cores; their share is the limit. */}}
{{- define "mentor.threads" -}}
- name: MENTOR_THREADS
  valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: "1"}}
{{- end }}

{{- define "mentor.scaling" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies:
    - {type: Percent, value: 100, periodSeconds: 30}
    - {type: Pods, value: 4, periodSeconds: 30}
# The backlog falls to nothing at the end of every round.
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - {type: Percent, value: 50, periodSeconds: 60}
{{- end }}
