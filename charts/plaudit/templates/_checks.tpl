{{/* Values that contradict each other, or the cluster: each with what to change. All are told at once. */}}
{{- define "plaudit.checks" -}}
{{- $wrong := list -}}
{{- $values := .Values -}}
{{- if and .Values.image.tag .Values.image.digest -}}
{{- $wrong = append $wrong "image.tag and image.digest both name the image: leave one of them empty" -}}
{{- end -}}
{{- if and .Values.worker.image.tag .Values.worker.image.digest -}}
{{- $wrong = append $wrong "worker.image.tag and worker.image.digest both name the image: leave one of them empty" -}}
{{- end -}}
{{- if and (gt (int .Values.replicas) 1) (not .Values.leaderElection.enabled) -}}
{{- $wrong = append $wrong (printf "replicas is %d and leaderElection.enabled is false: operators would write against each other; set leaderElection.enabled: true, or replicas: 1" (int .Values.replicas)) -}}
{{- end -}}
{{- if and .Values.podDisruptionBudget.enabled (lt (int .Values.replicas) 2) -}}
{{- $wrong = append $wrong (printf "podDisruptionBudget.enabled is true and replicas is %d: the budget protects nothing; set replicas: 2, or podDisruptionBudget.enabled: false" (int .Values.replicas)) -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- $wrong = append $wrong "serviceAccount.create is false and serviceAccount.name is empty: name an account that is there, or set serviceAccount.create: true" -}}
{{- end -}}
{{- range $kind, $enabled := dict "PodMonitor" .Values.podMonitor.enabled "PrometheusRule" .Values.prometheusRule.enabled -}}
{{- if and $enabled (not ($.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" $kind))) -}}
{{- $value := printf "%s%s" (lower (substr 0 1 $kind)) (substr 1 -1 $kind) -}}
{{- $wrong = append $wrong (printf "%s.enabled is true and the cluster has no %s: install the Prometheus operator first, or set %s.enabled: false (for helm template, add --api-versions monitoring.coreos.com/v1/%s)" $value $kind $value $kind) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.metricsFrom) -}}
{{- $wrong = append $wrong "podMonitor.enabled and networkPolicy.enabled are true and networkPolicy.metricsFrom is empty: Prometheus could not scrape; name its pods in networkPolicy.metricsFrom, or set podMonitor.enabled: false" -}}
{{- end -}}
{{- if and .Values.networkPolicy.workerNamespaces (not .Values.networkPolicy.enabled) -}}
{{- $wrong = append $wrong "networkPolicy.workerNamespaces is given and networkPolicy.enabled is false: set networkPolicy.enabled: true, or workerNamespaces: []" -}}
{{- end -}}
{{- if .Values.watchNamespace -}}
{{- range .Values.networkPolicy.workerNamespaces -}}
{{- if ne . $values.watchNamespace -}}
{{- $wrong = append $wrong (printf "networkPolicy.workerNamespaces has %s and watchNamespace is %s: no worker runs there; leave it out, or set watchNamespace: \"\"" . $values.watchNamespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nThe values of the chart contradict each other:\n- %s\n" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end -}}
