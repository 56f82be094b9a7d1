package lifecycle

import (
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// provisions is a session of a user that is made and extended: to 24 h, two hours ago.
func provisions(seen *Observation) {
	seen.Session.Spec.ClientSessionID, seen.Session.Spec.UserIdentifierKey = "", "shop-jane"
	seen.Session.Spec.Provision = &v1alpha1.Provision{}
	seen.Session.Status.ExpiresAt = at(22 * time.Hour)
	seen.Session.Status.Provisioning = &v1alpha1.Provisioning{
		LastCallTime: at(-2 * time.Hour), GrantedUntil: at(22 * time.Hour), SpecHash: provisionHash(seen.Session.Spec.Provision),
	}
}

func provisioning(change func(*v1alpha1.Provisioning)) func(*Observation) {
	return func(seen *Observation) { change(seen.Session.Status.Provisioning) }
}

// answeredAt is a good answer about a session that ends after a while, given when Seam's clock said so.
func answeredAt(seamNow, ends time.Duration, changes ...func(*seam.ClientSession)) Fetch {
	fetch := good(append(changes, func(s *seam.ClientSession) { s.ExpiresAt = &at(ends).Time })...)
	fetch.SeamTime = now.Add(seamNow)
	return fetch
}

func TestWanted(t *testing.T) {
	lists := func(s *seam.ClientSession) {
		s.ConnectedAccountIDs, s.ConnectWebviewIDs, s.UserIdentityID = []string{"told"}, []string{}, "identity"
	}
	noneEver := func(seen *Observation) { seen.Session.Status.Provisioning = nil }
	waits := provisioning(func(p *v1alpha1.Provisioning) {
		p.NotBefore, p.Reason, p.CallsInARow = at(time.Minute), v1alpha1.ReasonUnauthorized, 3
	})
	waited := provisioning(func(p *v1alpha1.Provisioning) {
		p.NotBefore, p.Reason, p.CallsInARow = at(-time.Minute), v1alpha1.ReasonUnauthorized, 3
	})
	edited := provisioning(func(p *v1alpha1.Provisioning) { p.SpecHash = "another" })
	for name, test := range map[string]struct {
		seen     Observation
		fetch    Fetch
		wanted   bool
		creating bool
		until    time.Duration
	}{
		"not provisioned":               {seen: healthy(), fetch: refused(seam.NotFound, fingerprint)},
		"it lives long":                 {seen: healthy(provisions), fetch: answeredAt(0, 22*time.Hour)},
		"it is gone":                    {seen: healthy(provisions), fetch: refused(seam.NotFound, fingerprint), wanted: true, creating: true, until: 24 * time.Hour},
		"it never was":                  {seen: healthy(provisions, noneEver, noSecret), fetch: refused(seam.NotFound, "another"), wanted: true, creating: true, until: 24 * time.Hour},
		"an outage":                     {seen: healthy(provisions), fetch: refused(seam.Unavailable, fingerprint)},
		"401":                           {seen: healthy(provisions), fetch: refused(seam.Unauthorized, fingerprint)},
		"403":                           {seen: healthy(provisions), fetch: refused(seam.Forbidden, fingerprint)},
		"an answer about somebody else": {seen: healthy(provisions), fetch: refused(seam.Mismatch, fingerprint)},
		"suspended":                     {seen: healthy(provisions, spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Suspend = true })), fetch: refused(seam.NotFound, fingerprint)},
		"it ends within a third of what was granted":    {seen: healthy(provisions), fetch: answeredAt(14*time.Hour, 22*time.Hour), wanted: true, until: 38 * time.Hour},
		"it ends a little later than that":              {seen: healthy(provisions), fetch: answeredAt(12*time.Hour, 22*time.Hour)},
		"within renewBefore, which is shorter":          {seen: healthy(provisions, renews(time.Hour)), fetch: answeredAt(14*time.Hour, 22*time.Hour)},
		"renewBefore longer than a third of the life":   {seen: healthy(provisions, renews(1000*time.Hour)), fetch: answeredAt(10*time.Hour, 22*time.Hour)},
		"it has ended by both clocks":                   {seen: healthy(provisions, tokenEnded5m), fetch: answeredAt(0, -5*time.Minute), wanted: true, creating: true, until: 24 * time.Hour},
		"it has ended by our clock alone":               {seen: healthy(provisions, tokenEnded5m), fetch: answeredAt(-23*time.Hour, -5*time.Minute)},
		"it has ended by Seam's clock alone":            {seen: healthy(provisions), fetch: answeredAt(23*time.Hour, 22*time.Hour), wanted: true, creating: true, until: 47 * time.Hour},
		"another has ended, and the token is good":      {seen: healthy(provisions, anothersToken), fetch: answeredAt(0, -5*time.Minute)},
		"another has ended, and the token is of before": {seen: healthy(provisions, anothersToken, func(seen *Observation) { seen.Secret.ForSpec = false }), fetch: answeredAt(0, -5*time.Minute), wanted: true, creating: true, until: 24 * time.Hour},
		"another has ended, and that of the token before its time": {seen: healthy(provisions, anothersToken, func(seen *Observation) {
			seen.Session.Status.ClientSessionID, seen.Session.Status.ExpiresAt = seen.Secret.ClientSessionID, at(-2*time.Hour)
			seen.Session.Status.LastFetchTime = at(-time.Hour)
		}), fetch: answeredAt(0, -5*time.Minute), wanted: true, creating: true, until: 24 * time.Hour},
		"another has ended, and the token ends soon": {seen: healthy(provisions, anothersToken, func(seen *Observation) {
			seen.Secret.ExpiresAt, seen.Session.Status.ClientSessionID = &at(time.Hour).Time, seen.Secret.ClientSessionID
		}), fetch: answeredAt(0, -5*time.Minute), wanted: true, creating: true, until: 24 * time.Hour},
		"another has ended, and that of the token is gone": {seen: healthy(provisions, anothersToken, gonePreviously), fetch: answeredAt(0, -5*time.Minute), wanted: true, creating: true, until: 24 * time.Hour},
		"it is gone, as was found out long ago":            {seen: healthy(provisions), fetch: late(refused(seam.NotFound, fingerprint))},
		"it has no end":                                    {seen: healthy(provisions, edited), fetch: good(func(s *seam.ClientSession) { s.ExpiresAt = nil })},
		"the spec changed":                                 {seen: healthy(provisions, edited), fetch: answeredAt(0, 22*time.Hour), wanted: true, until: 24 * time.Hour},
		"the spec changed, and it lives longer":            {seen: healthy(provisions, edited), fetch: answeredAt(0, 500*time.Hour), wanted: true, until: 500 * time.Hour},
		"somebody else made it":                            {seen: healthy(provisions, noneEver), fetch: answeredAt(0, time.Hour), wanted: true, until: 24 * time.Hour},
		"it is gone, and the pause lasts":                  {seen: healthy(provisions, waits), fetch: refused(seam.NotFound, fingerprint)},
		"it is gone, and the pause is over":                {seen: healthy(provisions, waited), fetch: refused(seam.NotFound, fingerprint), wanted: true, creating: true, until: 24 * time.Hour},
		"extending failed, and the pause is over":          {seen: healthy(provisions, waited), fetch: answeredAt(0, 22*time.Hour), wanted: true, until: 24 * time.Hour},
		"the pause lasts, and the spec changed":            {seen: healthy(provisions, waits, edited), fetch: refused(seam.NotFound, fingerprint), wanted: true, creating: true, until: 24 * time.Hour},
		"the pause is of a clock that was set back":        {seen: healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) { p.NotBefore = at(48 * time.Hour) })), fetch: refused(seam.NotFound, fingerprint), wanted: true, creating: true, until: 24 * time.Hour},
		"the pause after one was made is of such a clock":  {seen: healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) { p.NotBefore = at(50 * time.Minute) })), fetch: refused(seam.NotFound, fingerprint), wanted: true, creating: true, until: 24 * time.Hour},
		"the pause after it failed is of such a clock": {seen: healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) {
			p.NotBefore, p.Reason, p.CallsInARow = at(50*time.Minute), v1alpha1.ReasonInvalidRequest, 1
		})), fetch: refused(seam.NotFound, fingerprint), wanted: true, creating: true, until: 24 * time.Hour},
		"it failed so often that the pause is as long": {seen: healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) {
			p.NotBefore, p.Reason, p.CallsInARow = at(50*time.Minute), v1alpha1.ReasonInvalidRequest, 12
		})), fetch: refused(seam.NotFound, fingerprint)},
		"Seam has said how long the pause is": {seen: healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) {
			p.NotBefore, p.Reason, p.CallsInARow = at(50*time.Minute), v1alpha1.ReasonRateLimited, 1
		})), fetch: refused(seam.NotFound, fingerprint)},
		"it was just extended, to less than was asked":   {seen: healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) { p.LastCallTime, p.GrantedUntil = at(-time.Minute), at(5*time.Minute) })), fetch: answeredAt(0, 5*time.Minute)},
		"it was just extended, and made shorter since":   {seen: healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) { p.LastCallTime, p.GrantedUntil = at(-time.Hour), at(23*time.Hour) })), fetch: answeredAt(0, 30*time.Minute), wanted: true, until: 24 * time.Hour},
		"it was just extended, and another is returned":  {seen: healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) { p.LastCallTime, p.GrantedUntil = at(-time.Hour), at(23*time.Hour) })), fetch: answeredAt(0, 30*time.Minute, func(s *seam.ClientSession) { s.ID = "cst9" })},
		"it was extended a minute ago, and made shorter": {seen: healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) { p.LastCallTime, p.GrantedUntil = at(-time.Minute), at(24*time.Hour) })), fetch: answeredAt(0, 30*time.Minute)},
		"it was so a third of that ago":                  {seen: healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) { p.LastCallTime, p.GrantedUntil = at(-4*time.Minute), at(2*time.Minute) })), fetch: answeredAt(0, 2*time.Minute), wanted: true, until: 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			got := Wanted(test.seen, test.fetch, now)
			if (got != nil) != test.wanted {
				t.Fatalf("got %+v, want one: %t", got, test.wanted)
			}
			if got != nil && (got.Creating != test.creating || !got.ExpiresAt.Equal(now.Add(test.until))) {
				t.Errorf("creating %t until %s, want %t until %s", got.Creating, got.ExpiresAt, test.creating, now.Add(test.until))
			}
		})
	}
	t.Run("what the spec leaves out stays", func(t *testing.T) {
		seen := healthy(provisions, edited)
		seen.Session.Spec.Provision.ConnectedAccountIDs = []v1alpha1.SeamID{"asked"}
		got := Wanted(seen, answeredAt(0, time.Hour, lists), now)
		if !slices.Equal(got.ConnectedAccountIDs, []string{"asked"}) || got.ConnectWebviewIDs == nil || got.UserIdentityID != "identity" {
			t.Errorf("got %+v", got)
		}
		if made := Wanted(seen, refused(seam.NotFound, fingerprint), now); made.ConnectWebviewIDs != nil || made.UserIdentityID != "" {
			t.Errorf("a new session is asked for with %+v", made)
		}
	})
}

func TestTheNextCallIsTheOneThatMayExtendTheSession(t *testing.T) {
	failed := provisioning(func(p *v1alpha1.Provisioning) {
		p.NotBefore, p.Reason, p.CallsInARow = at(10*time.Second), v1alpha1.ReasonUnauthorized, 2
	})
	seen := healthy(provisions, failed)
	if next := nextCall(seen.Session, &seen.Session.Status, now).Sub(now); next != 10*time.Second {
		t.Errorf("the next call is in %s", next)
	}
}

func TestAnEndIsSaidBeforeTheSessionIsMadeAgain(t *testing.T) {
	failed := provisioning(func(p *v1alpha1.Provisioning) {
		p.NotBefore, p.Reason = at(-time.Minute), v1alpha1.ReasonSeamUnavailable
	})
	for what, fetch := range map[string]Fetch{"ended": answeredAt(0, -5*time.Minute), "gone": refused(seam.NotFound, fingerprint)} {
		if wish := Wanted(healthy(provisions, failed), fetch, now); wish == nil || wish.Quiet {
			t.Errorf("%s, while it is Ready: %+v", what, wish)
		}
		said := healthy(provisions, failed, gonePreviously)
		if wish := Wanted(said, fetch, now); wish == nil || !wish.Quiet {
			t.Errorf("%s, once that was said: %+v", what, wish)
		}
	}
}

func TestWhatCouldNotBeWrittenDoesNotWaitUntilASessionMayBeMade(t *testing.T) {
	waits := provisioning(func(p *v1alpha1.Provisioning) {
		p.NotBefore, p.Reason, p.CallsInARow = at(4*time.Minute), v1alpha1.ReasonSessionMismatch, 9
	})
	for reason, most := range map[string]time.Duration{v1alpha1.ReasonSecretWriteFailed: time.Minute, v1alpha1.ReasonSessionNotFound: 4 * time.Minute} {
		seen := healthy(provisions, waits, failing(reason))
		seen.Session.Status.FailedFetches, seen.Session.Status.FailedWrites = 0, 1
		if next := nextCall(seen.Session, &seen.Session.Status, now).Sub(now); next > most || reason == v1alpha1.ReasonSessionNotFound && next < most {
			t.Errorf("%s: the next call is in %s", reason, next)
		}
	}
}

func late(fetch Fetch) Fetch {
	return Fetch{Progress: TooLate, At: fetch.At}
}

func renews(before time.Duration) func(*Observation) {
	return func(seen *Observation) { seen.Session.Spec.RenewBefore = &metav1.Duration{Duration: before} }
}

func TestWishIsForgotten(t *testing.T) {
	seen := healthy(provisions)
	wish := Wanted(seen, refused(seam.NotFound, fingerprint), now)
	for name, test := range map[string]struct {
		wish  *Wish
		after time.Duration
		edit  int64
		want  bool
	}{
		"at once": {wish: wish, want: true}, "after a minute": {wish: wish, after: time.Minute, want: true},
		"after two minutes": {wish: wish, after: 2 * time.Minute}, "of a clock that was set back": {wish: wish, after: -time.Hour},
		"for another spec": {wish: wish, edit: 1}, "none": {},
	} {
		session := seen.Session.DeepCopy()
		session.Generation += test.edit
		if got := test.wish.IfCurrent(session, now.Add(test.after)); (got != nil) != test.want {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestNextProvisioning(t *testing.T) {
	problem := func(cause Cause) *Problem { return &Problem{Cause: cause, Message: "m"} }
	provided := func(creating bool, problem *Problem) Fetch {
		return Fetch{Provided: Provided{Tried: true, Creating: creating, SeamTime: now, Until: &at(24 * time.Hour).Time, Problem: problem}}
	}
	inARow := func(calls int32, notBefore time.Duration) func(*Observation) {
		return provisioning(func(p *v1alpha1.Provisioning) { p.CallsInARow, p.NotBefore = calls, at(notBefore) })
	}
	for name, test := range map[string]struct {
		seen   Observation
		fetch  Fetch
		calls  int32
		pause  time.Duration // 0 for none
		reason string
	}{
		"extended":                                  {seen: healthy(provisions), fetch: provided(false, nil)},
		"extended after failures":                   {seen: healthy(provisions, inARow(7, -time.Minute)), fetch: provided(false, nil)},
		"made":                                      {seen: healthy(provisions), fetch: provided(true, nil), calls: 1, pause: 5 * time.Second},
		"made again":                                {seen: healthy(provisions, inARow(3, -time.Minute)), fetch: provided(true, nil), calls: 4, pause: 40 * time.Second},
		"made again and again":                      {seen: healthy(provisions, inARow(30, -time.Minute)), fetch: provided(true, nil), calls: 31, pause: 5 * time.Minute},
		"made again long after that":                {seen: healthy(provisions, inARow(30, -6*time.Minute)), fetch: provided(true, nil), calls: 1, pause: 5 * time.Second},
		"refused for good":                          {seen: healthy(provisions, inARow(30, -time.Minute)), fetch: provided(true, problem(CredentialForbidden)), calls: 31, pause: time.Hour, reason: v1alpha1.ReasonUnauthorized},
		"refused in an outage":                      {seen: healthy(provisions, inARow(30, -time.Minute)), fetch: provided(false, problem(SeamDown)), calls: 31, pause: 5 * time.Minute, reason: v1alpha1.ReasonSeamUnavailable},
		"refused until a time":                      {seen: healthy(provisions), fetch: provided(true, &Problem{Cause: TooManyRequests, Until: now.Add(time.Hour)}), calls: 1, pause: time.Hour, reason: v1alpha1.ReasonRateLimited},
		"not tried, and failed before":              {seen: healthy(provisions, inARow(3, time.Minute)), fetch: refused(seam.Unavailable, fingerprint), calls: 3, pause: time.Minute},
		"fetched, with nothing to be done any more": {seen: healthy(provisions, inARow(3, -time.Minute)), fetch: good()},
	} {
		t.Run(name, func(t *testing.T) {
			got := nextProvisioning(test.seen, Attempt{Fetch: test.fetch}, now)
			if got.CallsInARow != test.calls || got.Reason != test.reason || (got.NotBefore == nil) != (test.pause == 0) ||
				got.NotBefore != nil && got.NotBefore.Sub(now) != test.pause {
				t.Errorf("got %+v", got)
			}
		})
	}
	if got := nextProvisioning(healthy(), Attempt{}, now); got != nil {
		t.Errorf("of a session that is read only: %+v", got)
	}
}

// What was to be made tomorrow, by a clock that was a day ahead, is made when the session is fetched next.
func TestProvisionDoesNotWaitForAClockThatWasSetBack(t *testing.T) {
	ahead := provisioning(func(p *v1alpha1.Provisioning) {
		p.Reason, p.NotBefore = v1alpha1.ReasonSeamUnavailable, at(20*time.Hour)
	})
	seen := healthy(provisions, noSecret, failing(v1alpha1.ReasonSeamUnavailable), ahead)
	if next := nextCall(seen.Session, &seen.Session.Status, now); next.Sub(now) > 5*time.Minute {
		t.Errorf("the next call is at %s", next)
	}
	if Wanted(seen, refused(seam.NotFound, fingerprint), now) == nil {
		t.Error("nothing is wanted then")
	}
}

// awaitsGrant is what the status says of a session that is not granted any more.
func awaitsGrant(s *v1alpha1.SeamClientSessionStatus) {
	s.NextFetchTime = nil
	meta.SetStatusCondition(&s.Conditions, conditionAt(v1alpha1.ConditionSynced, metav1.ConditionFalse, v1alpha1.ReasonNotGranted, "m"))
}

func TestProvisionDue(t *testing.T) {
	notFound := func(seen *Observation) {
		meta.SetStatusCondition(&seen.Session.Status.Conditions, conditionAt(v1alpha1.ConditionSynced, metav1.ConditionFalse, v1alpha1.ReasonSessionNotFound, "m"))
	}
	waited := provisioning(func(p *v1alpha1.Provisioning) { p.NotBefore = at(-time.Second) })
	failed := provisioning(func(p *v1alpha1.Provisioning) { p.Reason = v1alpha1.ReasonUnauthorized })
	for name, test := range map[string]struct {
		seen Observation
		want bool
	}{
		"nothing":                         {seen: healthy(provisions)},
		"not provisioned":                 {seen: healthy()},
		"the pause after making it":       {seen: healthy(provisions, waited)},
		"the pause after a failure":       {seen: healthy(provisions, waited, failed), want: true},
		"that pause lasts":                {seen: healthy(provisions, failed, provisioning(func(p *v1alpha1.Provisioning) { p.NotBefore = at(time.Second) }))},
		"it was fetched after that pause": {seen: healthy(provisions, waited, failed, status(func(s *v1alpha1.SeamClientSessionStatus) { s.LastAttemptTime = at(0) }))},
		"it was deleted again":            {seen: healthy(provisions, waited, notFound), want: true},
		"the spec changed":                {seen: healthy(provisions, spec(func(s *v1alpha1.SeamClientSessionSpec) { s.Provision.UserIdentityID = "a" })), want: true},
		"another part of the spec did":    {seen: healthy(provisions, spec(func(s *v1alpha1.SeamClientSessionSpec) {}))},
		"it waits for a grant":            {seen: healthy(provisions, waited, failed, status(awaitsGrant))},
		"what was found out is lost":      {seen: healthy(provisions, status(func(s *v1alpha1.SeamClientSessionStatus) { s.Conditions = nil })), want: true},
	} {
		if got := provisionDue(test.seen, now); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

func TestGrantsSession(t *testing.T) {
	workspace := func(grants ...v1alpha1.Grant) *v1alpha1.SeamWorkspace {
		return &v1alpha1.SeamWorkspace{ObjectMeta: metav1.ObjectMeta{Namespace: "platform"}, Spec: v1alpha1.SeamWorkspaceSpec{Grants: grants}}
	}
	grant := func(associations *v1alpha1.Associations, allow ...v1alpha1.GrantedUse) v1alpha1.Grant {
		return v1alpha1.Grant{Namespaces: names("shop"), Allow: allow, Associations: associations}
	}
	asks := func(provision *v1alpha1.Provision) *v1alpha1.SeamClientSession {
		return &v1alpha1.SeamClientSession{Spec: v1alpha1.SeamClientSessionSpec{Provision: provision}}
	}
	account := &v1alpha1.Provision{ConnectedAccountIDs: []v1alpha1.SeamID{"a", "b"}}
	lists := &v1alpha1.Associations{ConnectedAccountIDs: []v1alpha1.SeamID{"b", "c", "a"}, UserIdentityIDs: []v1alpha1.SeamID{"u"}}
	for name, test := range map[string]struct {
		workspace *v1alpha1.SeamWorkspace
		session   *v1alpha1.SeamClientSession
		want      bool
	}{
		"read":                               {workspace(grant(nil, "Read")), asks(nil), true},
		"read, by a grant to provision":      {workspace(grant(nil, "Provision")), asks(nil), true},
		"provision, by a grant to read":      {workspace(grant(lists, "Read")), asks(&v1alpha1.Provision{}), false},
		"provision, by one that says none":   {workspace(grant(lists)), asks(&v1alpha1.Provision{}), false},
		"provision":                          {workspace(grant(nil, "Provision")), asks(&v1alpha1.Provision{}), true},
		"with what is listed":                {workspace(grant(lists, "Read", "Provision")), asks(account), true},
		"with what is not listed":            {workspace(grant(&v1alpha1.Associations{ConnectedAccountIDs: []v1alpha1.SeamID{"a"}}, "Provision")), asks(account), false},
		"with anything, and nothing listed":  {workspace(grant(nil, "Provision")), asks(account), false},
		"as another user identity":           {workspace(grant(lists, "Provision")), asks(&v1alpha1.Provision{UserIdentityID: "v"}), false},
		"listed by one, allowed by another":  {workspace(grant(lists, "Read"), grant(nil, "Provision")), asks(account), false},
		"in the workspace's own namespace":   {func() *v1alpha1.SeamWorkspace { w := workspace(); w.Namespace = "shop"; return w }(), asks(account), true},
		"a Connect Webview that none listed": {workspace(grant(lists, "Provision")), asks(&v1alpha1.Provision{ConnectWebviewIDs: []v1alpha1.SeamID{"a"}}), false},
	} {
		if got := GrantsSession(test.workspace, Tenant{Name: "shop"}, test.session, seam.Selector{UserIdentifierKey: "k"}); got != test.want {
			t.Errorf("%s: got %t", name, got)
		}
		if got := GrantsSomeUser(test.workspace, Tenant{Name: "shop"}, test.session); got != test.want {
			t.Errorf("%s, to some user: got %t", name, got)
		}
	}
	prefixed := grant(nil, "Provision")
	prefixed.UserIdentifierKeyPrefixes = []v1alpha1.KeyPrefix{"shop-"}
	made := asks(&v1alpha1.Provision{})
	if GrantsSession(workspace(prefixed), Tenant{Name: "shop"}, made, seam.Selector{UserIdentifierKey: "k"}) {
		t.Error("a grant for other users grants this one")
	}
	if !GrantsSomeUser(workspace(prefixed), Tenant{Name: "shop"}, made) {
		t.Error("a grant for some users grants none")
	}
	if GrantsSomeUser(workspace(prefixed), Tenant{Name: "garage"}, made) {
		t.Error("a grant for another namespace grants this one")
	}
}

func TestTransitionsOfAnExtensionThatCameTooLate(t *testing.T) {
	seen := healthy(provisions, provisioning(func(p *v1alpha1.Provisioning) { p.Reason = v1alpha1.ReasonRateLimited }))
	late := Attempt{Fetch: Fetch{Progress: TooLate, At: now, Provided: Provided{Tried: true, SeamTime: now, Until: &at(24 * time.Hour).Time}}}
	after := NextStatus(seen, late, now)
	if got := Transitions(seen.Session, &seen.Session.Status, &after, late); len(got) > 0 {
		t.Errorf("got %+v", got)
	}
}

func TestMakesIn(t *testing.T) {
	was := status(func(s *v1alpha1.SeamClientSessionStatus) { s.WorkspaceID = "was" })
	says := spec(func(s *v1alpha1.SeamClientSessionSpec) { s.WorkspaceID = "says" })
	for name, test := range map[string]struct {
		seen        Observation
		wish        Wish
		workspaceID string
		want        string
	}{
		"what lives":                     {seen: healthy(provisions, was)},
		"for the request that was known": {seen: healthy(provisions, was), wish: Wish{Creating: true, Known: true}},
		"for another request":            {seen: healthy(provisions, was), wish: Wish{Creating: true}, want: "was"},
		"as the spec says":               {seen: healthy(provisions, was, says), wish: Wish{Creating: true}, want: "says"},
		"for the first time":             {seen: healthy(provisions), wish: Wish{Creating: true}},
		"with a SeamWorkspace":           {seen: healthy(provisions), wish: Wish{Creating: true}, workspaceID: "w", want: "w"},
		"with another one by now":        {seen: healthy(provisions, was), wish: Wish{Creating: true}, workspaceID: "w", want: "was"},
	} {
		if got := MakesIn(test.seen.Session, &test.wish, test.workspaceID); got != test.want {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
