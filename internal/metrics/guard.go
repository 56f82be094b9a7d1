package metrics

import (
	"context"
	"crypto/sha256"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const (
	// reviewTimeout bounds how long the API server may take to say who somebody is and what they may do.
	reviewTimeout = 10 * time.Second
	// reviewTTL is how long what it said is believed: a token that was revoked reads metrics for that long.
	reviewTTL = time.Minute
	// keptReviews bounds how many are remembered.
	keptReviews = 128
)

// guard lets the API server decide who may read metrics.
type guard struct {
	tokens   authentication.TokenReviewInterface
	access   authorization.SubjectAccessReviewInterface
	reviewed *cache.LRUExpireCache // HTTP statuses by reviewKey
}

// reviewKey is what a review was about. It holds no token, so that none is kept in memory.
type reviewKey struct {
	token        [sha256.Size]byte
	method, path string
}

// Guarded is a filter that lets a request through if the API server knows its bearer token (TokenReview) and lets whom it
// belongs to use the method on the path (SubjectAccessReview), as it does for paths of its own. Where the API server can't be
// asked, nobody is let through.
func Guarded(config *rest.Config, httpClient *http.Client) (metricsserver.Filter, error) {
	tokens, err := authentication.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	access, err := authorization.NewForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, err
	}
	g := &guard{tokens: tokens.TokenReviews(), access: access.SubjectAccessReviews(), reviewed: cache.NewLRUExpireCache(keptReviews)}
	return g.filter, nil
}

func (g *guard) filter(log logr.Logger, next http.Handler) (http.Handler, error) {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		status, err := g.review(request)
		if err != nil {
			log.Error(err, "asking the API server who may read metrics: check the permissions to create tokenreviews and subjectaccessreviews")
		}
		if status != http.StatusOK {
			http.Error(w, http.StatusText(status), status)
			return
		}
		next.ServeHTTP(w, request)
	}), nil
}

// review is the HTTP status that a request deserves: 200, 401, 403, or 500 with the reason why that is not known.
func (g *guard) review(request *http.Request) (int, error) {
	scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return http.StatusUnauthorized, nil
	}
	key := reviewKey{sha256.Sum256([]byte(token)), request.Method, request.URL.Path}
	if status, ok := g.reviewed.Get(key); ok {
		return status.(int), nil //nolint:forcetypeassert // nothing else is put there
	}
	ctx, cancel := context.WithTimeout(request.Context(), reviewTimeout)
	defer cancel()
	status, err := g.ask(ctx, token, key)
	if err != nil {
		return http.StatusInternalServerError, err
	}
	g.reviewed.Add(key, status, reviewTTL)
	return status, nil
}

func (g *guard) ask(ctx context.Context, token string, key reviewKey) (int, error) {
	who, err := g.tokens.Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	if !who.Status.Authenticated {
		return http.StatusUnauthorized, nil
	}
	user := who.Status.User
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	may, err := g.access.Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: key.path, Verb: strings.ToLower(key.method)},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	if !may.Status.Allowed {
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}
