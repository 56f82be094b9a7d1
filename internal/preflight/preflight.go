// Package preflight finds out, from inside an installation, whether it can do its work: whether a replica leads, and
// whether the service account may do what the operator does.
//
// It asks the API server and changes nothing. What the operator needs is not written down here: it comes from the roles of
// config/rbac, which the manifests and the chart install.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// timeout bounds the whole check: a new installation may have no leader yet.
const timeout = time.Minute

var errNotFit = errors.New("the installation is not fit for its work")

// Check is what there is to find out.
type Check struct {
	// Client is no cache's, and a client of controller-runtime, since the typed ones would add a sixth to the binary.
	Client client.Client
	Clock  clock.PassiveClock
	// Rules are what the operator must be allowed in Namespaces, or everywhere if there are none.
	Rules      []rbacv1.PolicyRule
	Namespaces []string
	// ClusterRules are what it must be allowed everywhere, whatever Namespaces are.
	ClusterRules []rbacv1.PolicyRule
	// LeaseRules are what it must be allowed in LeaseNamespace, on the Lease of this name where they speak of one.
	LeaseRules                []rbacv1.PolicyRule
	LeaseNamespace, LeaseName string
	// Out gets a line for each thing that was found out.
	Out io.Writer
}

// Run fails unless all is well, and says on Out what is and what is not.
func (c *Check) Run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var denied []error
	namespaces := c.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	for _, namespace := range namespaces {
		denied = append(denied, c.allowed(ctx, namespace, c.Rules))
	}
	denied = append(denied,
		c.allowed(ctx, metav1.NamespaceAll, c.ClusterRules),
		c.allowed(ctx, c.LeaseNamespace, c.LeaseRules),
	)
	if err := errors.Join(denied...); err != nil {
		return err
	}
	return c.led(ctx)
}

// allowed fails if a rule is not granted in a namespace.
func (c *Check) allowed(ctx context.Context, namespace string, rules []rbacv1.PolicyRule) error {
	where, fit := "all namespaces", true
	if namespace != metav1.NamespaceAll {
		where = "namespace " + namespace
	}
	for _, attributes := range c.attributes(namespace, rules) {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes}}
		if err := c.Client.Create(ctx, review); err != nil {
			return fmt.Errorf("asking what this service account may do: %w", err)
		}
		answer := "may"
		if !review.Status.Allowed {
			answer, fit = "MAY NOT", false
		}
		fmt.Fprintf(c.Out, "%s %s %s in %s\n", answer, attributes.Verb, resourceOf(attributes), where)
	}
	if !fit {
		return fmt.Errorf("%w: permissions are missing in %s", errNotFit, where)
	}
	return nil
}

// attributes are the single things that rules allow.
func (c *Check) attributes(namespace string, rules []rbacv1.PolicyRule) []authorizationv1.ResourceAttributes {
	var all []authorizationv1.ResourceAttributes
	for _, rule := range rules {
		for _, group := range rule.APIGroups {
			for _, path := range rule.Resources {
				for _, verb := range rule.Verbs {
					resource, subresource, _ := strings.Cut(path, "/")
					attributes := authorizationv1.ResourceAttributes{
						Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource,
					}
					if len(rule.ResourceNames) > 0 {
						attributes.Name = c.LeaseName
					}
					all = append(all, attributes)
				}
			}
		}
	}
	return all
}

func resourceOf(a authorizationv1.ResourceAttributes) string {
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	if a.Group != "" {
		resource += "." + a.Group
	}
	if a.Name != "" {
		resource += " " + a.Name
	}
	return resource
}

// led waits until a replica holds the Lease and has renewed it lately.
func (c *Check) led(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextCancel(ctx, time.Second, true, func(ctx context.Context) (bool, error) {
		lease := &coordinationv1.Lease{}
		err := c.Client.Get(ctx, client.ObjectKey{Namespace: c.LeaseNamespace, Name: c.LeaseName}, lease)
		if err == nil {
			err = c.held(lease)
		}
		if last = err; err == nil {
			fmt.Fprintf(c.Out, "%s leads\n", *lease.Spec.HolderIdentity)
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%w: no replica leads: %w", errNotFit, errors.Join(last, err))
	}
	return nil
}

// held fails if nobody holds the Lease, or whoever does was not heard of in time.
func (c *Check) held(lease *coordinationv1.Lease) error {
	spec := lease.Spec
	if spec.HolderIdentity == nil || *spec.HolderIdentity == "" || spec.RenewTime == nil || spec.LeaseDurationSeconds == nil {
		return fmt.Errorf("nobody holds the Lease %s", lease.Name)
	}
	ends := spec.RenewTime.Add(time.Duration(*spec.LeaseDurationSeconds) * time.Second)
	if c.Clock.Now().After(ends) {
		return fmt.Errorf("the Lease %s ended at %s", lease.Name, ends.UTC().Format(time.RFC3339))
	}
	return nil
}
