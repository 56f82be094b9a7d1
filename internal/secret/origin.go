package secret

import (
	"regexp"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
)

var (
	// originLabels and originAnnotations are what tools in use put on what is theirs, those that tell most first.
	originLabels = []string{
		v1alpha1.LabelManagedBy, "app.kubernetes.io/instance", "app.kubernetes.io/part-of", "app.kubernetes.io/name",
		"argocd.argoproj.io/instance", "kustomize.toolkit.fluxcd.io/name",
	}
	originAnnotations = []string{"meta.helm.sh/release-name"}
	// shownOrigin is what a value may look like to be shown.
	shownOrigin = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
)

// maxOrigin is how many labels and annotations are given as an origin.
const maxOrigin = 3

// origin says whose a Secret, full or digest, seems to be.
func origin(s *corev1.Secret) string {
	var all []string
	add := func(what string, values map[string]string, keys []string) {
		for _, key := range keys {
			value := values[key]
			if len(all) < maxOrigin && shownOrigin.MatchString(value) && !strings.HasPrefix(strings.ToLower(value), "seam_") {
				all = append(all, what+" "+key+"="+value)
			}
		}
	}
	add("annotation", s.Annotations, originAnnotations)
	add("label", s.Labels, originLabels)
	if manager := managerOf(s); manager != "" {
		all = append(all, "field manager "+strconv.Quote(manager))
	}
	return strings.Join(all, ", ")
}
