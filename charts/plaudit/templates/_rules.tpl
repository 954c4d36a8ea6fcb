{{- /* Generated from operator/src/rbac.rs by `make generate`: the operator's rights, each below its reason. */ -}}
{{- define "plaudit.rules.pipelines" -}}
# to see pipelines
- apiGroups:
  - plaudit.dev
  resources:
  - achievementpipelines
  verbs:
  - list
  - watch
# to say what was found and decided
- apiGroups:
  - plaudit.dev
  resources:
  - achievementpipelines/status
  verbs:
  - patch
# a pipeline's workers
- apiGroups:
  - apps
  resources:
  - deployments
  verbs:
  - list
  - watch
  - create
  - patch
# the workers' configuration, and where their metrics are
- apiGroups:
  - ''
  resources:
  - configmaps
  - services
  verbs:
  - list
  - watch
  - create
  - patch
# that drained nodes take a quarter of the workers at a time, one at least
- apiGroups:
  - policy
  resources:
  - poddisruptionbudgets
  verbs:
  - list
  - watch
  - create
  - patch
# to ask workers how they are, and to say which is removed first (controller.kubernetes.io/pod-deletion-cost)
- apiGroups:
  - ''
  resources:
  - pods
  verbs:
  - list
  - watch
  - patch
# to tell of changes
- apiGroups:
  - events.k8s.io
  resources:
  - events
  verbs:
  - create
# to ask Kafka for the lag with the credentials that a pipeline names, and to say what is wrong with them and with those for its store; by name only, none is listed or watched
- apiGroups:
  - ''
  resources:
  - secrets
  verbs:
  - get
{{- end -}}
{{- define "plaudit.rules.lease" -}}
# to create the lease that operators elect their leader on
- apiGroups:
  - coordination.k8s.io
  resources:
  - leases
  verbs:
  - create
# to take, renew and release that lease, and to see at once that it was released
- apiGroups:
  - coordination.k8s.io
  resourceNames:
  - {{ include "plaudit.leaseName" . }}
  resources:
  - leases
  verbs:
  - get
  - update
  - watch
{{- end -}}
