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
{{- range $value, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels -}}
{{- range $label := keys $labels | sortAlpha -}}
{{- if regexMatch "^(app\\.kubernetes\\.io/(name|instance|component|version|part-of|managed-by)|helm\\.sh/chart)$" $label -}}
{{- $wrong = append $wrong (printf "%s has %s, which the chart sets itself: leave it out" $value $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $flags := dict "worker-image" "worker.image" "image-pull-policy" "worker.image.pullPolicy" "log-format" "log.format" "poll-seconds" "pollSeconds" "lease" "leaderElection.leaseName" "no-leader-election" "leaderElection.enabled" "namespace" "watchNamespace" "selector" "pipelineSelector" -}}
{{- range .Values.extraArgs -}}
{{- $flag := . | trimPrefix "--" | splitList "=" | first -}}
{{- if hasKey $flags $flag -}}
{{- $wrong = append $wrong (printf "extraArgs has --%s, which the chart sets itself: leave it out, and set %s" $flag (get $flags $flag)) -}}
{{- else if eq $flag "admin-address" -}}
{{- $wrong = append $wrong "extraArgs has --admin-address, and probes and Service count on port 8080: leave it out" -}}
{{- end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if eq .name "PLAUDIT_LOG" -}}
{{- $wrong = append $wrong "extraEnv has PLAUDIT_LOG, which the chart sets itself: leave it out, and set log.level" -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\nThe values of the chart contradict each other:\n- %s\n" (join "\n- " $wrong)) -}}
{{- end -}}
{{- end -}}
