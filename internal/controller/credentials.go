package controller

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

const (
	// credentialTTL is how long a credential Secret that was read is used before it is read again.
	credentialTTL = 5 * time.Second
	// versionMemory is how long the version of a credential Secret is remembered: longer than any call to Seam takes.
	versionMemory = 10 * time.Minute
	// credentialProbe is how often a credential that Seam refused is tried again.
	credentialProbe = time.Minute
	// maxUserIdentifierKey bounds a user identifier key, in bytes, as the CRD bounds one in the spec.
	maxUserIdentifierKey = 512
)

// credentials reads the Secrets that sessions refer to, each at most once in credentialTTL however many sessions share
// it. They are other people's: none is kept for longer, and none is watched but one that failed.
type credentials struct {
	live  client.Reader
	seam  *seam.Client
	clock clock.PassiveClock

	mu       sync.Mutex
	readings map[types.NamespacedName]*reading
}

// reading is a Secret as it was read at a time. Its lock makes those who want the same Secret wait for one read.
type reading struct {
	mu      sync.Mutex
	at      time.Time
	secret  *corev1.Secret // nil if it does not exist
	err     error
	version string
}

// fresh says whether a reading can still be used.
func (r *reading) fresh(now time.Time) bool {
	age := now.Sub(r.at)
	return !r.at.IsZero() && age >= 0 && age < credentialTTL
}

// request is what is asked of Seam, and through which connection.
type request struct {
	connection *seam.Connection
	selector   seam.Selector
	// version is the UID and the resourceVersion of the credential Secret.
	version string
}

// request reads what a session refers to.
func (c *credentials) request(ctx context.Context, session *v1alpha1.SeamClientSession) (*request, *problem) {
	ref := session.Spec.CredentialSecretRef
	key := ref.Key
	if key == "" {
		key = v1alpha1.DefaultCredentialKey
	}
	value, credentialSecret, problem := c.value(ctx, session.Namespace, ref.Name, key, "the credential for Seam")
	if problem != nil {
		return nil, problem
	}
	credential, err := seam.ParseCredential(value, session.Spec.WorkspaceID)
	if err != nil {
		return nil, invalid(ref.Name, key, err.Error())
	}
	selector, problem := c.selector(ctx, session)
	if problem != nil {
		return nil, problem
	}
	return &request{
		connection: c.seam.Connection(credential),
		selector:   selector,
		version:    versionOf(credentialSecret),
	}, nil
}

// selector is what a session is found by.
func (c *credentials) selector(ctx context.Context, session *v1alpha1.SeamClientSession) (seam.Selector, *problem) {
	ref := session.Spec.UserIdentifierKeySecretRef
	if ref == nil {
		return seam.Selector{
			ClientSessionID:   session.Spec.ClientSessionID,
			UserIdentifierKey: session.Spec.UserIdentifierKey,
		}, nil
	}
	value, _, problem := c.value(ctx, session.Namespace, ref.Name, ref.Key, "the user identifier key")
	if problem != nil {
		return seam.Selector{}, problem
	}
	value = strings.TrimRight(value, "\r\n") // files end in one
	if value == "" || len(value) > maxUserIdentifierKey || !utf8.ValidString(value) {
		return seam.Selector{}, invalid(ref.Name, ref.Key,
			fmt.Sprintf("a user identifier key is UTF-8 text of 1 to %d bytes", maxUserIdentifierKey))
	}
	return seam.Selector{UserIdentifierKey: value}, nil
}

// value reads one key of a Secret.
func (c *credentials) value(ctx context.Context, namespace, name, key, what string) (string, *corev1.Secret, *problem) {
	s, err := c.read(ctx, types.NamespacedName{Namespace: namespace, Name: name})
	switch {
	case err != nil:
		return "", nil, &problem{kind: waiting, reason: v1alpha1.ReasonCredentialNotFound, cause: err,
			message: fmt.Sprintf("Secret %q could not be read: check the operator's permissions", name)}
	case s == nil:
		return "", nil, missing(name, fmt.Sprintf("Secret %q does not exist: create it with %s under the key %q", name, what, key))
	case strings.HasPrefix(string(s.Type), "kubernetes.io/"):
		return "", nil, invalid(name, key, fmt.Sprintf("a Secret of type %s is not sent to Seam: put %s into one of type Opaque", s.Type, what))
	}
	value, ok := s.Data[key]
	if !ok {
		return "", nil, missing(name, fmt.Sprintf("Secret %q has no key %q: put %s there", name, key, what))
	}
	return string(value), s, nil
}

// read returns a Secret as it was at most credentialTTL ago, or nil if it did not exist.
func (c *credentials) read(ctx context.Context, key types.NamespacedName) (*corev1.Secret, error) {
	entry := c.reading(key)
	entry.mu.Lock()
	defer entry.mu.Unlock()
	now := c.clock.Now()
	if entry.fresh(now) {
		return entry.secret, entry.err
	}
	s := &corev1.Secret{}
	err := c.live.Get(ctx, key, s)
	if err != nil {
		s, err = nil, client.IgnoreNotFound(err)
	}
	if err != nil {
		err = fmt.Errorf("reading Secret %s: %w", key, err)
	}
	entry.at, entry.secret, entry.err, entry.version = now, s, err, versionOf(s)
	return s, err
}

// reading returns the entry for a Secret, and drops those that are past their time.
func (c *credentials) reading(key types.NamespacedName) *reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	if entry, ok := c.readings[key]; ok {
		return entry
	}
	now := c.clock.Now()
	for other, entry := range c.readings {
		if entry.mu.TryLock() { // one that is locked is in use
			if !entry.fresh(now) {
				entry.secret = nil
			}
			if now.Sub(entry.at) > versionMemory {
				delete(c.readings, other)
			}
			entry.mu.Unlock()
		}
	}
	if c.readings == nil {
		c.readings = map[types.NamespacedName]*reading{}
	}
	entry := &reading{at: now.Add(-credentialTTL)}
	c.readings[key] = entry
	return entry
}

// lastSeen is the version of a Secret when it was last read, empty if it did not exist.
func (c *credentials) lastSeen(key types.NamespacedName) string {
	entry := c.reading(key)
	entry.mu.Lock()
	defer entry.mu.Unlock()
	return entry.version
}

// changed makes the next use of a Secret read it again.
func (c *credentials) changed(key types.NamespacedName) {
	entry := c.reading(key)
	entry.mu.Lock()
	defer entry.mu.Unlock()
	entry.at = entry.at.Add(-credentialTTL)
}

// versionOf tells two states of a Secret apart, also where it was deleted and made again; empty for none.
func versionOf(s *corev1.Secret) string {
	if s == nil {
		return ""
	}
	return version(s)
}

func version(s client.Object) string { return string(s.GetUID()) + "/" + s.GetResourceVersion() }

// references are the Secrets that a session refers to.
func references(session *v1alpha1.SeamClientSession) []string {
	names := []string{session.Spec.CredentialSecretRef.Name}
	if ref := session.Spec.UserIdentifierKeySecretRef; ref != nil && ref.Name != names[0] {
		names = append(names, ref.Name)
	}
	return names
}

func missing(name, message string) *problem {
	return &problem{kind: waiting, reason: v1alpha1.ReasonCredentialNotFound, message: message, cures: []string{name}}
}

func invalid(name, key, why string) *problem {
	return &problem{kind: waiting, reason: v1alpha1.ReasonCredentialInvalid, cures: []string{name},
		message: fmt.Sprintf("key %q of Secret %q can't be used: %s", key, name, why)}
}
