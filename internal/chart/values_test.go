package chart

import (
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

const (
	deployment = "Deployment/seam-session-operator"
	pod        = ".spec.template.spec"
	container  = ".spec.template.spec.containers[0]"
	args       = container + ".args"
)

// value is what one or more values make of one field; "" is that there is none.
type value struct{ values, object, path, want string }

// values hold every value of the chart at least once.
var values = []value{
	{`nameOverride: gate`, "Service/seam-session-operator-gate-metrics", ".spec.selector['app\\.kubernetes\\.io/name']", "gate"},
	{`fullnameOverride: gate`, "Deployment/gate", container + ".args[?(@=='--leader-election-id=gate.connect.seam.co')]", "--leader-election-id=gate.connect.seam.co"},
	{`fullnameOverride: gate`, "Role/gate-leader-election", ".rules[*].resourceNames[0]", "gate.connect.seam.co"},
	{`commonLabels: {team: access}`, "CustomResourceDefinition/seamclientsessions.connect.seam.co", ".metadata.labels.team", "access"},
	{`commonLabels: {team: access}`, deployment, ".spec.template.metadata.labels.team", "access"},
	{`commonLabels: {app.kubernetes.io/name: other}`, deployment, ".spec.template.metadata.labels['app\\.kubernetes\\.io/name']", "seam-session-operator"},
	{`commonAnnotations: {team: access}`, "ClusterRoleBinding/seam-session-operator", ".metadata.annotations.team", "access"},
	{`crds: {install: false}`, "CustomResourceDefinition/seamclientsessions.connect.seam.co", ".kind", ""},
	{``, "CustomResourceDefinition/seamclientsessions.connect.seam.co", ".metadata.annotations['helm\\.sh/resource-policy']", "keep"},
	{`crds: {keep: false}`, "CustomResourceDefinition/seamclientsessions.connect.seam.co", ".metadata.annotations['helm\\.sh/resource-policy']", ""},

	{`image: {repository: example.com/gate}`, deployment, container + ".image", "example.com/gate:0.1.0"},
	{`image: {tag: v2}`, deployment, container + ".image", "seam-session-operator:v2"},
	{`image: {tag: v2}`, "Pod/seam-session-operator-test", ".spec.containers[0].image", "seam-session-operator:v2"},
	{`image: {tag: v2, digest: "sha256:` + strings.Repeat("0", 64) + `"}`, deployment, container + ".image", "seam-session-operator@sha256:" + strings.Repeat("0", 64)},
	{`image: {pullPolicy: Never}`, deployment, container + ".imagePullPolicy", "Never"},
	{`imagePullSecrets: [{name: pull}]`, deployment, pod + ".imagePullSecrets[0].name", "pull"},

	{`replicas: 3`, deployment, ".spec.replicas", "3"},
	{`replicas: 0`, deployment, ".spec.replicas", "0"},
	{``, deployment, container + ".args[?(@=='--leader-elect')]", "--leader-elect"},
	{`leaderElection: {leaseDuration: 30s}`, deployment, args, "--leader-elect-lease-duration=30s"},
	{`leaderElection: {renewDeadline: 9s}`, deployment, args, "--leader-elect-renew-deadline=9s"},
	{`leaderElection: {retryPeriod: 1s500ms}`, deployment, args, "--leader-elect-retry-period=1s500ms"},

	{`seam: {endpoint: "https://seam.example.com"}`, deployment, args, "--seam-endpoint=https://seam.example.com"},
	{`seam: {endpoint: "http://seam.example.com", allowHTTP: true}`, deployment, args, "--seam-allow-http"},
	{`seam: {ca: {configMap: roots}}`, deployment, pod + ".volumes[0].configMap.name", "roots"},
	{`seam: {ca: {configMap: roots}}`, deployment, args, "--seam-ca-file=/etc/seam-ca/ca.crt"},
	{`seam: {ca: {secret: roots, key: root.pem}}`, deployment, pod + ".volumes[0].secret", `{"items":[{"key":"root.pem","path":"ca.crt"}],"secretName":"roots"}`},
	{`watchNamespaces: [shop, garage]`, deployment, args, "--watch-namespaces=shop,garage"},
	{`watchNamespaces: [shop, garage]`, "Pod/seam-session-operator-test", ".spec.containers[0].args", "--watch-namespaces=shop,garage"},
	{``, "Pod/seam-session-operator-test", ".spec.containers[0].args[?(@=='--metrics-secure')]", "--metrics-secure"},
	{`metrics: {secure: false}`, "Pod/seam-session-operator-test", ".spec.containers[0].args[?(@=='--metrics-secure')]", ""},
	{`metrics: {enabled: false}`, "Pod/seam-session-operator-test", ".spec.containers[0].args[?(@=='--metrics-secure')]", ""},
	{`maxConcurrentReconciles: 4`, deployment, args, "--max-concurrent-reconciles=4"},
	{`logging: {level: debug}`, deployment, args, "--zap-log-level=debug"},
	{`logging: {level: 3}`, deployment, args, "--zap-log-level=3"},
	{`logging: {format: console}`, deployment, args, "--zap-encoder=console"},

	{`rbac: {create: false}`, "ClusterRole/seam-session-operator", ".kind", ""},
	{`rbac: {aggregate: false}`, "ClusterRole/seam-session-operator-edit", ".kind", ""},
	{`{rbac: {aggregate: true}, watchNamespaces: [shop]}`, "ClusterRole/seam-session-operator-view", ".kind", "ClusterRole"},
	{``, "ClusterRole/seam-session-operator-namespaces", ".rules", `[{"apiGroups":[""],"resources":["namespaces"],"verbs":["list","watch"]}]`},
	{``, "ClusterRoleBinding/seam-session-operator-namespaces", ".roleRef.name", "seam-session-operator-namespaces"},
	{`watchNamespaces: [shop, garage]`, "ClusterRole/seam-session-operator-namespaces", ".kind", ""},
	{`watchNamespaces: [shop, garage]`, "ClusterRoleBinding/seam-session-operator-namespaces", ".kind", ""},
	{`serviceAccount: {create: false}`, deployment, pod + ".serviceAccountName", "default"},
	{`serviceAccount: {create: false}`, "ServiceAccount/default", ".kind", ""},
	{`serviceAccount: {name: gate}`, "ServiceAccount/gate", ".automountServiceAccountToken", "false"},
	{`serviceAccount: {name: gate}`, "ClusterRoleBinding/seam-session-operator", ".subjects[0].name", "gate"},
	{`serviceAccount: {annotations: {role: gate}}`, "ServiceAccount/seam-session-operator", ".metadata.annotations.role", "gate"},

	{`podLabels: {mesh: "off"}`, deployment, ".spec.template.metadata.labels.mesh", "off"},
	{`podAnnotations: {mesh: "off"}`, deployment, ".spec.template.metadata.annotations.mesh", "off"},
	{`extraArgs: ["--pprof-bind-address=:6060"]`, deployment, args, "--pprof-bind-address=:6060"},
	{`extraEnv: [{name: HTTPS_PROXY, value: "http://proxy:3128"}]`, deployment, container + ".env[0].value", "http://proxy:3128"},
	{`resources: {requests: {cpu: 1}, limits: {memory: 1Gi}}`, deployment, container + ".resources", `{"limits":{"memory":"1Gi"},"requests":{"cpu":1,"memory":"64Mi"}}`},
	{`podSecurityContext: {runAsNonRoot: true, seccompProfile: {type: Localhost}}`, deployment, pod + ".securityContext.seccompProfile.type", "Localhost"},
	{`securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: false, capabilities: {drop: [ALL]}}`, deployment, container + ".securityContext.readOnlyRootFilesystem", "false"},
	{`terminationGracePeriodSeconds: 45`, deployment, pod + ".terminationGracePeriodSeconds", "45"},
	{`priorityClassName: high`, deployment, pod + ".priorityClassName", "high"},
	{`nodeSelector: {disk: fast}`, deployment, pod + ".nodeSelector.disk", "fast"},
	{`tolerations: [{key: dedicated, operator: Exists}]`, deployment, pod + ".tolerations[0].key", "dedicated"},
	{`affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}`, deployment, pod + ".affinity", `{"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[]}}`},
	{`topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]`, deployment, pod + ".topologySpreadConstraints[0].labelSelector.matchLabels['app\\.kubernetes\\.io/instance']", "seam-session-operator"},
	{`topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {a: b}}}]`, deployment, pod + ".topologySpreadConstraints[0].labelSelector", `{"matchLabels":{"a":"b"}}`},

	{`metrics: {enabled: false}`, "Service/seam-session-operator-metrics", ".kind", ""},
	{`metrics: {enabled: false}`, deployment, args, "--metrics-bind-address=0"},
	{`metrics: {enabled: false}`, "ClusterRole/seam-session-operator-metrics-auth", ".kind", ""},
	{``, deployment, args, "--metrics-secure"},
	{`metrics: {secure: false}`, "ClusterRoleBinding/seam-session-operator-metrics-auth", ".kind", ""},
	{`metrics: {secure: false, serviceMonitor: {create: true}}`, "ServiceMonitor/seam-session-operator", ".spec.endpoints[0].scheme", ""},
	{`metrics: {port: 9443}`, deployment, args, "--metrics-bind-address=:9443"},
	{`metrics: {port: 9443}`, "Service/seam-session-operator-metrics", ".spec.ports[0].port", "9443"},
	{`metrics: {certificateSecret: tls}`, deployment, pod + ".volumes[0].secret.secretName", "tls"},
	{`metrics: {certificateSecret: tls}`, deployment, args, "--metrics-cert-dir=/etc/metrics-certificate"},
	{`metrics: {service: {create: false}}`, "Service/seam-session-operator-metrics", ".kind", ""},
	{`metrics: {service: {labels: {a: b}, annotations: {c: d}}}`, "Service/seam-session-operator-metrics", ".metadata['labels','annotations']['a','c']", "b d"},
	{`metrics: {serviceMonitor: {create: true, labels: {release: prometheus}}}`, "ServiceMonitor/seam-session-operator", ".metadata.labels.release", "prometheus"},
	{`metrics: {serviceMonitor: {create: true, interval: 30s, scrapeTimeout: 9s}}`, "ServiceMonitor/seam-session-operator", ".spec.endpoints[0]['interval','scrapeTimeout']", "30s 9s"},
	{`metrics: {serviceMonitor: {create: true, tlsConfig: {serverName: gate, insecureSkipVerify: false}}}`, "ServiceMonitor/seam-session-operator", ".spec.endpoints[0].tlsConfig", `{"insecureSkipVerify":false,"serverName":"gate"}`},
	{`metrics: {serviceMonitor: {create: true, relabelings: [{action: drop}], metricRelabelings: [{action: keep}]}}`, "ServiceMonitor/seam-session-operator", ".spec.endpoints[0]['relabelings','metricRelabelings'][0].action", "drop keep"},
	{`metrics: {prometheusRule: {create: true, labels: {release: prometheus}}}`, "PrometheusRule/seam-session-operator", ".metadata.labels.release", "prometheus"},
	{`metrics: {prometheusRule: {create: true, alertLabels: {team: access}}}`, "PrometheusRule/seam-session-operator", ".spec.groups[0].rules[0].labels", `{"severity":"critical","team":"access"}`},
	{`metrics: {prometheusRule: {create: true, expiresWithinSeconds: 7}}`, "PrometheusRule/seam-session-operator", ".spec.groups[0].rules[1].expr", "time() < 7\n"},
	{`metrics: {prometheusRule: {create: true, notReadyFor: 7m}}`, "PrometheusRule/seam-session-operator", ".spec.groups[0].rules[2].for", "7m"},
	{`metrics: {prometheusRule: {create: true, disabledAlerts: [SeamSessionExpired, SeamSessionExpiring, SeamFetchesFailing, SeamCredentialRefused, SeamFetchOverdue]}}`, "PrometheusRule/seam-session-operator", ".spec.groups[0].rules[*].alert", "SeamSessionNotReady SeamUnreachable SeamRateLimited SeamSecretContested SeamOperatorDown SeamNoLeader SeamSessionLeftBehind SeamWorkspaceNotReady SeamEventsNotPolled"},
	{`metrics: {prometheusRule: {create: true, runbookURL: "https://example.com/runbook"}}`, "PrometheusRule/seam-session-operator", ".spec.groups[0].rules[0].annotations.runbook_url", "https://example.com/runbook#seamsessionexpired"},
	{`metrics: {prometheusRule: {create: true, runbookURL: ""}}`, "PrometheusRule/seam-session-operator", ".spec.groups[0].rules[0].annotations.runbook_url", ""},
	{`metrics: {prometheusRule: {create: true, extraRules: [{alert: Mine, expr: vector(1)}]}}`, "PrometheusRule/seam-session-operator", ".spec.groups[0].rules[-1:].alert", "Mine"},
	{`metrics: {dashboard: {create: true, labels: {a: b}, annotations: {folder: Seam}}}`, "ConfigMap/seam-session-operator-dashboard", ".metadata['labels','annotations']['grafana_dashboard','a','folder']", "1 b Seam"},

	{`podDisruptionBudget: {create: true}`, "PodDisruptionBudget/seam-session-operator", ".spec['minAvailable','maxUnavailable']", "1"},
	{`podDisruptionBudget: {create: true, minAvailable: 0}`, "PodDisruptionBudget/seam-session-operator", ".spec.minAvailable", "0"},
	{`podDisruptionBudget: {create: true, maxUnavailable: 50%}`, "PodDisruptionBudget/seam-session-operator", ".spec.maxUnavailable", "50%"},
	{`networkPolicy: {create: true, metricsFrom: [{podSelector: {}}]}`, "NetworkPolicy/seam-session-operator", ".spec.ingress[1].from[0]", `{"podSelector":{}}`},
	{`networkPolicy: {create: true, egressPorts: [3128]}`, "NetworkPolicy/seam-session-operator", ".spec.egress[1].ports[*].port", "3128"},
	{`networkPolicy: {create: true, extraEgress: [{ports: [{port: 8443}]}]}`, "NetworkPolicy/seam-session-operator", ".spec.egress[2].ports[0].port", "8443"},
}

var _ = Describe("The values", func() {
	It("do what they say, each of them", func(ctx SpecContext) {
		rendered := map[string]release{}
		for _, v := range values {
			if rendered[v.values] == nil {
				rendered[v.values] = render(ctx, v.values)
			}
			got := rendered[v.values].field(v.object, v.path)
			if v.want == "" {
				Expect(got).To(BeEmpty(), "%s: %s %s", v.values, v.object, v.path)
			} else {
				Expect(got).To(ContainSubstring(v.want), "%s: %s %s", v.values, v.object, v.path)
			}
		}
	})

	It("are all in the table above", func() {
		tried := map[string]bool{}
		for _, v := range values {
			for _, path := range leaves("", parseValues(v.values)) {
				for tried[path] = true; strings.Contains(path, "."); tried[path] = true {
					path = path[:strings.LastIndex(path, ".")]
				}
			}
		}
		for _, path := range leaves("", parseValues(readFile("config/chart/values.yaml"))) {
			for _, whole := range wholes {
				if strings.HasPrefix(path, whole+".") {
					path = whole
				}
			}
			Expect(tried).To(HaveKey(path), "no case sets %s", path)
		}
	})

	It("are all documented, and known to the schema", func() {
		text := readFile("config/chart/values.yaml")
		lines := strings.Split(text, "\n")
		key := regexp.MustCompile(`^( *)([A-Za-z]+):`)
		inWhole := -1 // how far the map is indented that is one value
		for i, line := range lines {
			found := key.FindStringSubmatch(line)
			if found == nil || inWhole >= 0 && len(found[1]) > inWhole {
				continue
			}
			inWhole = -1
			documented := false
			for j := i - 1; j >= 0 && strings.HasPrefix(strings.TrimSpace(lines[j]), "#"); j-- {
				documented = documented || strings.Contains(lines[j], "# -- ")
			}
			switch ends := strings.HasSuffix(line, ":"); {
			case documented && ends:
				inWhole = len(found[1])
			case !ends:
				Expect(documented).To(BeTrue(), "values.yaml:%d is not documented: %s", i+1, line)
			}
		}
	})
})

// wholes are values that are maps.
var wholes = []string{
	"resources", "podSecurityContext", "securityContext", "metrics.dashboard.labels", "metrics.serviceMonitor.tlsConfig",
}

// rejected is what a value is rejected with.
type rejected struct{ values, message string }

var _ = DescribeTable("The chart rejects", func(ctx SpecContext, r rejected) {
	_, err := template(ctx, r.values)
	Expect(err).To(MatchError(ContainSubstring(r.message)))
},
	Entry("an unknown value", rejected{`replica: 2`, "additional properties 'replica' not allowed"}),
	Entry("an unknown value in a group", rejected{`seam: {endpont: "https://x"}`, "at '/seam': additional properties 'endpont' not allowed"}),
	Entry("a wrong type", rejected{`replicas: two`, "at '/replicas': got string, want integer"}),
	Entry("a single namespace", rejected{`watchNamespaces: shop`, "at '/watchNamespaces': got string, want array"}),
	Entry("a namespace twice", rejected{`watchNamespaces: [shop, shop]`, "at '/watchNamespaces'"}),
	Entry("a namespace that can't be", rejected{`watchNamespaces: [Shop]`, "at '/watchNamespaces/0': 'Shop' does not match pattern"}),
	Entry("an unknown pull policy", rejected{`image: {pullPolicy: Sometimes}`, "at '/image/pullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'"}),
	Entry("a tag in the repository's place", rejected{`image: {digest: latest}`, "at '/image/digest'"}),
	Entry("a duration without unit", rejected{`leaderElection: {leaseDuration: "15"}`, "at '/leaderElection/leaseDuration'"}),
	Entry("an endpoint that is no URL", rejected{`seam: {endpoint: seam.example.com}`, "at '/seam/endpoint'"}),
	Entry("an endpoint of plain HTTP", rejected{`seam: {endpoint: "http://seam.example.com"}`, "seam.endpoint is plain HTTP: use https, or set seam.allowHTTP"}),
	Entry("a CA from two places", rejected{`seam: {ca: {configMap: a, secret: b}}`, "set seam.ca.configMap or seam.ca.secret, not both"}),
	Entry("a log level that shows bodies", rejected{`logging: {level: 9}`, "at '/logging/level': value must be one of"}),
	Entry("a time to end that is too short", rejected{`terminationGracePeriodSeconds: 5`, "at '/terminationGracePeriodSeconds': minimum: got 5, want 25"}),
	Entry("the port of the probes for metrics", rejected{`metrics: {port: 8081}`, "at '/metrics/port'"}),
	Entry("a ServiceMonitor without Service", rejected{`metrics: {service: {create: false}, serviceMonitor: {create: true}}`, "metrics.serviceMonitor.create needs metrics.enabled and metrics.service.create"}),
	Entry("an argument that is no flag", rejected{`extraArgs: [6060]`, "at '/extraArgs/0'"}),
	Entry("an alert that there is not", rejected{`metrics: {prometheusRule: {disabledAlerts: [Seam]}}`, "at '/metrics/prometheusRule/disabledAlerts/0'"}),
	Entry("a label that is no string", rejected{`podLabels: {a: 1}`, "at '/podLabels/a': got number, want string"}),
)
