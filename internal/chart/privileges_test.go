package chart

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

var metricName = regexp.MustCompile(`\b(seam|leader_election|controller_runtime)_[a-z_]+`)

// permission is one verb on one resource.
type permission struct {
	role                  string // the object that grants it
	verb, group, resource string
	names                 []string
}

func (p permission) String() string {
	return strings.TrimSuffix(p.verb+" "+p.resource+"."+p.group, ".")
}

func (p permission) rule() rbacv1.PolicyRule {
	return rbacv1.PolicyRule{
		Verbs: []string{p.verb}, APIGroups: []string{p.group}, Resources: []string{p.resource}, ResourceNames: p.names,
	}
}

const (
	workRole       = "Role/seam-session-operator." + shop
	wideWorkRole   = "ClusterRole/seam-session-operator"
	namespacesRole = "ClusterRole/seam-session-operator-namespaces"
	leaseRole      = "Role/seam-session-operator-leader-election"
	metricsRole    = "ClusterRole/seam-session-operator-metrics-auth"
)

// permissions are all that the chart grants to the operator, one by one, where it works in one namespace.
func permissions(ctx context.Context) []permission {
	GinkgoHelper()
	return granted(ctx, `watchNamespaces: [`+shop+`]`, workRole, leaseRole, metricsRole)
}

// widePermissions are the same where it works in all namespaces.
func widePermissions(ctx context.Context) []permission {
	GinkgoHelper()
	return granted(ctx, ``, wideWorkRole, namespacesRole, leaseRole, metricsRole)
}

func granted(ctx context.Context, values string, roles ...string) []permission {
	GinkgoHelper()
	rendered := render(ctx, values)
	var all []permission
	for _, name := range roles {
		var role rbacv1.Role
		Expect(rendered).To(HaveKey(name))
		Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(rendered[name].Object, &role)).To(Succeed())
		for _, rule := range role.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						all = append(all, permission{role: name, verb: verb, group: group, resource: resource, names: rule.ResourceNames})
					}
				}
			}
		}
	}
	return all
}

// rare is used when an event repeats before the cache has seen the status that goes with the first one: a series of events
// is counted by a patch. Its rule is missed for the other verb.
const rare = "patch events.events.k8s.io"

func names(all []permission) []string {
	result := make([]string, len(all))
	for i, p := range all {
		result[i] = p.String()
	}
	slices.Sort(result)
	return slices.Compact(result)
}

var _ = Describe("The operator's permissions", func() {
	DescribeTable("are those that it uses, and it uses all of them", func(ctx SpecContext, permissions func(context.Context) []permission) {
		granted := permissions(ctx)
		t := newTrial(ctx, granted)
		metrics := t.day(ctx)
		Expect(t.log.String()).NotTo(ContainSubstring("forbidden"))
		allowed, refused := t.requests()
		Expect(refused).To(BeEmpty())
		Expect(append(allowed, rare)).To(ConsistOf(names(granted)))

		By("looking for the metrics that alerts and dashboard ask for")
		for _, name := range metricsIn(ctx) {
			Expect(metrics).To(ContainSubstring("\n"+strings.TrimSuffix(name, "_bucket")), name)
		}
	},
		Entry("in one namespace", permissions),
		Entry("in all namespaces", widePermissions),
	)

	DescribeTable("are each missed when they are taken away", func(ctx SpecContext, permissions func(context.Context) []permission, roles ...string) {
		granted := permissions(ctx)
		for i, missing := range granted {
			if missing.String() == rare || !slices.Contains(roles, missing.role) {
				continue
			}
			By("taking away: " + missing.String() + " of " + missing.role)
			t := newTrial(ctx, slices.Delete(slices.Clone(granted), i, i+1))
			t.day(ctx)
			_, refused := t.requests()
			Expect(refused).To(ContainElement(missing.String()))
			t.end(ctx)
		}
	},
		Entry("in one namespace", permissions, workRole, leaseRole, metricsRole),
		Entry("in all namespaces, of those that it has beside", widePermissions, namespacesRole),
	)
})

var _ = Describe("The roles of people", func() {
	It("let those who may edit read SeamWorkspaces, and admins alone write them", func(ctx SpecContext) {
		who := map[string][]string{}
		for _, object := range render(ctx, ``) {
			var role rbacv1.ClusterRole
			if object.GetKind() != "ClusterRole" {
				continue
			}
			Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role)).To(Succeed())
			for label := range role.Labels {
				for _, rule := range role.Rules {
					if to, ok := strings.CutPrefix(label, "rbac.authorization.k8s.io/aggregate-to-"); ok && slices.Contains(rule.Resources, "seamworkspaces") {
						who[to] = append(who[to], rule.Verbs...)
					}
				}
			}
		}
		read := []string{"get", "list", "watch"}
		Expect(who).To(Equal(map[string][]string{ // Kubernetes gives to edit what view has, and to admin what edit has
			"view":  read,
			"admin": append(read, "create", "update", "patch", "delete", "deletecollection"),
		}))
	})
})

var _ = Describe("seam-session-operator --check", func() {
	DescribeTable("is content with what the chart grants, and asks about nothing else, once a replica leads", func(ctx SpecContext, permissions func(context.Context) []permission) {
		t := newTrial(ctx, permissions(ctx))
		printed, err := t.check(ctx, "--metrics-secure")
		Expect(err).NotTo(HaveOccurred(), printed)
		Expect(printed).To(ContainSubstring(" leads\n"))
		for _, granted := range permissions(ctx) {
			where := " in namespace " + t.namespace
			if strings.HasPrefix(granted.role, "ClusterRole/") {
				where = " in all namespaces"
			}
			Expect(printed).To(MatchRegexp(regexp.QuoteMeta("may "+granted.String())+".*"+where), "it did not ask about it")
		}
		Expect(strings.Count(printed, "\n")).To(Equal(len(permissions(ctx))+1), printed)
	},
		Entry("in one namespace", permissions),
		Entry("in all namespaces", widePermissions),
	)

	It("does not ask for what secure metrics need where metrics are not secure", func(ctx SpecContext) {
		granted := slices.DeleteFunc(permissions(ctx), func(p permission) bool { return p.role == metricsRole })
		printed, err := newTrial(ctx, granted).check(ctx)
		Expect(err).NotTo(HaveOccurred(), printed)
	})

	DescribeTable("says what is missing:", func(ctx SpecContext, permissions func(context.Context) []permission, missing string) {
		granted := slices.DeleteFunc(permissions(ctx), func(p permission) bool { return p.String() == missing })
		printed, err := newTrial(ctx, granted).check(ctx, "--metrics-secure")
		Expect(err).To(HaveOccurred())
		Expect(printed).To(And(ContainSubstring("MAY NOT "+missing+" in "), ContainSubstring("permissions are missing")))
	},
		Entry(nil, permissions, "update secrets"),
		Entry(nil, permissions, "patch seamworkspaces/status.connect.seam.co"),
		Entry(nil, permissions, "create tokenreviews.authentication.k8s.io"),
		Entry(nil, permissions, "create subjectaccessreviews.authorization.k8s.io"),
		Entry(nil, widePermissions, "watch namespaces"),
	)
})

// auditEvent is a line of the audit log.
type auditEvent struct {
	Verb string `json:"verb"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		APIGroup    string `json:"apiGroup"`
	} `json:"objectRef"`
	Annotations map[string]string `json:"annotations"`
}

// requests are the permissions that the operator made use of, and those that it was refused.
func (t *trial) requests() (allowed, refused []string) {
	GinkgoHelper()
	content, err := os.ReadFile(auditLog)
	Expect(err).NotTo(HaveOccurred())
	for line := range strings.Lines(string(content[t.auditFrom:])) {
		var event auditEvent
		if !strings.HasSuffix(line, "\n") || !strings.Contains(line, `"`+t.user+`"`) {
			continue
		}
		Expect(json.Unmarshal([]byte(line), &event)).To(Succeed())
		ref := event.ObjectRef
		if event.User.Username != t.user || ref.Resource == "" {
			continue
		}
		if ref.Subresource != "" {
			ref.Resource += "/" + ref.Subresource
		}
		used := permission{verb: event.Verb, group: ref.APIGroup, resource: ref.Resource}.String()
		switch decision := event.Annotations["authorization.k8s.io/decision"]; decision {
		case "allow":
			allowed = append(allowed, used)
		case "forbid":
			refused = append(refused, used)
		default:
			Fail(fmt.Sprintf("%s: decision %q", used, decision))
		}
	}
	slices.Sort(allowed)
	slices.Sort(refused)
	return slices.Compact(allowed), slices.Compact(refused)
}
