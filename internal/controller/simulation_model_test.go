package controller

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing/iotest"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam/seamtest"
)

const (
	// simCallTimeout is when a call to Seam is given up.
	simCallTimeout = 30 * time.Second
	// simSkew is how far the clocks may be apart where Seam says that a session has ended.
	simSkew = time.Minute
)

// simSeam is what Seam holds, which is the truth, and how it answers, which may be a lie. The faults of seamtest last until they
// are healed; lies are told once.
type simSeam struct {
	*seamtest.Server
	clock  clock.PassiveClock
	ids    []string          // of all sessions that there ever were, oldest first
	tokens map[string]string // the session of every token that there ever was
	lies   []simLie
	slow   time.Duration
	// behaviour is what it does where it is unknown what Seam does.
	behaviour seamtest.Behaviour
}

// behave changes what Seam does from now on.
func (m *simSeam) behave(behaviour seamtest.Behaviour) {
	behaviour.TokenPrefix = simTokenPrefix + "made_"
	m.behaviour = behaviour
	m.Behave(behaviour)
}

// simLie changes one answer.
type simLie struct {
	name string
	tell func(status int, session map[string]any) (int, any)
}

func endsAt(when string) func(int, map[string]any) (int, any) {
	return func(status int, session map[string]any) (int, any) {
		session["expires_at"] = when
		return status, map[string]any{"client_session": session, "ok": true}
	}
}

var (
	simStray = simLie{"a stray not found", func(int, map[string]any) (int, any) {
		return http.StatusNotFound, map[string]any{"error": map[string]any{"type": "client_session_not_found", "message": hush}}
	}}
	simLies = []simLie{
		simStray, simStray,
		{"an end in 1970", endsAt("1970-01-01T00:00:00Z")}, {"an end in year 1", endsAt("0001-01-01T00:00:00Z")},
		{"an ended session of the same user", func(status int, session map[string]any) (int, any) {
			if session["user_identifier_key"] != nil {
				session["client_session_id"], session["token"] = "sibling", "seam_cst_hush_sibling_"
			}
			return endsAt("2026-01-01T00:00:00Z")(status, session)
		}},
	}
)

func newSimSeam(clock clock.PassiveClock) *simSeam {
	m := &simSeam{Server: seamtest.New(clock), clock: clock, tokens: map[string]string{}}
	m.addCredentials()
	m.behave(seamtest.Behaviour{})
	return m
}

// addCredentials makes the credentials valid that can be.
func (m *simSeam) addCredentials() {
	for value, workspaces := range simOpens {
		m.AddCredential(value, workspaces...)
	}
}

// simOpens is what each credential opens. Only the token may choose.
var simOpens = map[string][]string{
	"seam_hush_key1": {seamtest.Workspace1}, "seam_hush_key1b": {seamtest.Workspace1}, "seam_hush_key2": {seamtest.Workspace2},
	"seam_at_hush":        {seamtest.Workspace1, seamtest.Workspace2},
	"seam_hush_platform1": {seamtest.Workspace1}, "seam_hush_platform1b": {seamtest.Workspace1},
	"seam_hush_platform2": {seamtest.Workspace2}, "seam_at_hush_platform": {seamtest.Workspace1, seamtest.Workspace2},
}

func (m *simSeam) put(session seamtest.Session) {
	if !slices.Contains(m.ids, session.ID) {
		m.ids = append(m.ids, session.ID)
	}
	m.tokens[session.Token] = session.ID
	m.Put(session)
}

// learn takes note of sessions and tokens that Seam has made itself for a user.
func (m *simSeam) learn(key string) []seamtest.Session {
	sessions := m.Sessions(key)
	for _, session := range sessions {
		if !slices.Contains(m.ids, session.ID) {
			m.ids = append(m.ids, session.ID)
		}
		m.tokens[session.Token] = session.ID
	}
	return sessions
}

// takes says whether Seam would take a token now. As everywhere, the second in which it ends is not counted.
func (m *simSeam) takes(token string) bool {
	session, found := m.Session(m.tokens[token])
	return token != "" && found && session.Token == token && session.RevokedAt.IsZero() &&
		(session.ExpiresAt.IsZero() || session.ExpiresAt.Truncate(time.Second).After(m.clock.Now()))
}

// simQuestion is what Seam is asked: with which value of a credential, and for what.
type simQuestion struct{ credential, workspace, id, key string }

// opens is the workspace that a question is asked in; empty where the credential does not open it.
func (q simQuestion) opens() string {
	opens := simOpens[q.credential]
	switch {
	case len(opens) == 0, q.workspace != "" && !slices.Contains(opens, q.workspace), q.workspace == "" && len(opens) > 1:
		return ""
	case q.workspace == "":
		return opens[0]
	}
	return q.workspace
}

// truly is what Seam holds for a question; nil for nothing.
func (m *simSeam) truly(q simQuestion) *seamtest.Session {
	workspace := q.opens()
	for _, id := range m.ids {
		found, ok := m.Session(id)
		if ok && found.WorkspaceID == workspace && (id == q.id || q.key != "" && found.UserIdentifierKey == q.key) {
			if m.behaviour.RevokedNotFound && !found.RevokedAt.IsZero() {
				return nil
			}
			return &found
		}
	}
	return nil
}

// question is what an object asks now.
func (s *simulation) question(session *v1alpha1.SeamClientSession) (q simQuestion) {
	spec := &session.Spec
	q = simQuestion{workspace: spec.WorkspaceID, id: spec.ClientSessionID, key: spec.UserIdentifierKey}
	secret := spec.CredentialSecretRef.Name
	if workspace := s.api.workspace(); spec.WorkspaceRef != nil && workspace != nil && spec.WorkspaceRef.Name == simWorkspace {
		secret, q.workspace = simWorkspace, workspace.Spec.WorkspaceID
	}
	if credential := s.api.secret(secret); credential != nil {
		q.credential = string(credential.Data["SEAM_API_KEY"])
	}
	if ref := spec.UserIdentifierKeySecretRef; ref != nil {
		if user := s.api.secret(ref.Name); user != nil {
			q.key = strings.TrimRight(string(user.Data[ref.Key]), "\r\n")
		}
	}
	return q
}

// simWord is what Seam said to an object.
type simWord struct {
	kind     simKind
	path     string
	heard    time.Time        // by mono
	held     seamtest.Session // as it was at Seam then
	question simQuestion
	at       time.Time // when Seam said it, by truth
	id       string
	token    string
	ends     *time.Time
	lie      bool
	fresh    bool // Seam would have taken the token
	// skewed says that the clocks were apart then.
	skewed bool
	// by is the process that was told, saved that it has written down what came of it, and lost that it came too late. One that is
	// ungranted, or overtaken by an edit of the object, can't be used any more: it says that there is a session, and not that the token which is there is the one.
	by                     *simOperator
	saved, lost, ungranted bool
	// gaveUp, late and used say that whoever asked gave up, was frozen meanwhile, or has made or extended a session for it.
	gaveUp, late, used bool
}

type simKind int

const (
	simOther simKind = iota // nothing about the session
	simGone
	simGood
	simEnded
)

// hear says what an answer means to whoever asked.
func (q simQuestion) hear(status int, body []byte, now time.Time) (w simWord) {
	var answer struct {
		OK      *bool
		Session *struct {
			ID    string     `json:"client_session_id"`
			Space string     `json:"workspace_id"`
			Key   string     `json:"user_identifier_key"`
			Token string     `json:"token"`
			Ends  *time.Time `json:"expires_at"`
		} `json:"client_session"`
		Error struct{ Type string }
	}
	w.question = q
	if len(body) > 1<<20 || json.Unmarshal(body, &answer) != nil {
		return w
	}
	session := answer.Session
	switch {
	case status == http.StatusNotFound && answer.Error.Type == "client_session_not_found": // which says nothing elsewhere than in get
		w.kind = simGone
	case status != http.StatusOK || session == nil || answer.OK != nil && !*answer.OK || session.Token == "":
	case !q.isAnsweredBy(session.ID, session.Key, session.Space):
	case session.Ends == nil:
		w.kind, w.id, w.token = simGood, session.ID, session.Token
	default:
		w.kind, w.id, w.token, w.ends = simGood, session.ID, session.Token, new(session.Ends.Truncate(time.Second))
		if !w.ends.After(now) {
			w.kind = simEnded
		}
	}
	return w
}

// ended says whether Seam told of a session that had ended by its own clock.
func (w *simWord) ended() bool { return w.ends != nil && !w.ends.After(w.at) }

// isAnsweredBy says whether a session is what was asked for.
func (q simQuestion) isAnsweredBy(id, key, workspace string) bool {
	wanted := q.workspace
	if opens := simOpens[q.credential]; wanted == "" && q.byWorkspace() && len(opens) > 0 { // which is known before
		wanted = opens[0]
	}
	return (id == q.id || q.key != "" && key == q.key) && (wanted == "" || workspace == wanted)
}

// simCall is a call of Seam under way.
type simCall struct {
	attempt  *simAttempt
	question simQuestion
	word     simWord
	began    time.Time // by the operator's clock
	until    time.Time // by mono
	path     string
	asked    simAsked
	// before and after are the sessions of the user that there were when Seam was asked for one.
	before, after []seamtest.Session
	response      *httptest.ResponseRecorder
	aborted       bool
	gaveUp        bool // who asked does not wait for it any more
	done          chan struct{}
}

// simAsked is the body of a request.
type simAsked struct {
	ID   string    `json:"client_session_id"`
	Key  string    `json:"user_identifier_key"`
	Ends time.Time `json:"expires_at"`
}

// RoundTrip implements http.RoundTripper: it is the network between one operator and Seam.
func (o *simOperator) RoundTrip(request *http.Request) (*http.Response, error) {
	s, attempt := o.sim, attemptOf(request.Context())
	call := &simCall{attempt: attempt, began: s.wall.Now(), path: request.URL.Path, done: make(chan struct{})}
	body, err := io.ReadAll(request.Body)
	if err := errors.Join(err, json.Unmarshal(body, &call.asked)); err != nil {
		return nil, err
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	credential := strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")
	call.question = simQuestion{credential, request.Header.Get("Seam-Workspace"), call.asked.ID, call.asked.Key}
	s.asking(call)
	call.serve(s.seam, request)
	s.changed(call)
	call.until = s.mono.Now().Add(min(s.latency(), simCallTimeout))
	s.calls = append(s.calls, call)
	select {
	case <-call.done:
	case <-request.Context().Done():
		call.gaveUp = true
		return nil, request.Context().Err()
	}
	if call.response == nil || call.aborted && call.response.Body.Len() == 0 {
		return nil, syscall.ECONNRESET
	}
	result := call.response.Result()
	result.Request = request
	if call.aborted {
		result.Body = io.NopCloser(io.MultiReader(result.Body, iotest.ErrReader(syscall.ECONNRESET)))
	}
	return result, nil
}

// latency is how long Seam takes for one answer.
func (s *simulation) latency() time.Duration {
	if s.calm {
		return 200 * time.Millisecond
	}
	return s.seam.slow + pick[time.Duration](s, 50, 200, 200, 300, 1000, 9000)*time.Millisecond
}

// simWriter takes an answer, up to what anybody reads of it.
type simWriter struct{ *httptest.ResponseRecorder }

// Write implements http.ResponseWriter.
func (w simWriter) Write(p []byte) (int, error) {
	if w.Body.Len() > 1<<20 {
		return 0, errors.New("nobody reads on")
	}
	return w.ResponseRecorder.Write(p)
}

// serve has Seam answer, and changes that where it is to lie. An answer may break off.
func (c *simCall) serve(m *simSeam, request *http.Request) {
	c.response, c.before = httptest.NewRecorder(), m.Sessions(c.question.key)
	if c.path == deletePath {
		c.before = nil
		if session, ok := m.Session(c.question.id); ok {
			c.before = []seamtest.Session{session}
		}
	}
	func() {
		defer func() {
			if err := recover(); err != nil && err != http.ErrAbortHandler { //nolint:errorlint // what was panicked with
				panic(err)
			} else if err != nil {
				c.aborted = true
			}
		}()
		m.Handler().ServeHTTP(simWriter{c.response}, request)
	}()
	c.after = m.learn(c.question.key)
	var answer struct {
		Session map[string]any `json:"client_session"`
	}
	if len(m.lies) > 0 && json.Unmarshal(c.response.Body.Bytes(), &answer) == nil && answer.Session != nil {
		status, body := m.lies[0].tell(c.response.Code, answer.Session)
		encoded, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		c.response.Code, c.response.Body, m.lies = status, bytes.NewBuffer(encoded), m.lies[1:]
	}
	c.judge(m)
}

// judge notes what is true of an answer, which is what the network may lose.
func (c *simCall) judge(m *simSeam) {
	heard := c.question.hear(c.response.Code, c.response.Body.Bytes(), m.clock.Now())
	held, _ := m.Session(heard.id)
	c.word.held = held
	c.word.fresh, c.word.at = m.takes(heard.token), m.clock.Now()
	ends := held.ExpiresAt.Truncate(time.Second)
	c.word.lie = heard.kind == simGone && m.truly(c.question) != nil || heard.kind > simGone && !held.RevokedAt.IsZero() ||
		heard.kind > simGone && (heard.ends == nil) != ends.IsZero() || heard.ends != nil && !heard.ends.Equal(ends)
}

// deliver gives the operator Seam's answer, and notes what it was told.
func (s *simulation) deliver(call *simCall) {
	facts, w := s.facts(call.attempt.name), simWord{question: call.question}
	ofSession := call.attempt.name != simWorkspace
	if s.seam.slow >= simCallTimeout && !s.calm {
		call.response = nil
	} else if !call.aborted {
		w = call.question.hear(call.response.Code, call.response.Body.Bytes(), s.wall.Now())
		if !call.gaveUp {
			s.holdBack(call)
		}
	}
	if w.kind == simGone && call.path != getPath {
		w.kind = simOther
	}
	w.at, w.by, w.lie, w.fresh, w.held = call.word.at, call.attempt.by, call.word.lie, call.word.fresh, call.word.held
	w.path, w.heard, w.gaveUp = call.path, s.mono.Now(), call.gaveUp
	w.late = s.wall.Now().Sub(call.began) > longestCall+time.Second
	w.skewed = s.wall.Now().Sub(s.truth.Now()).Abs() > simSkew
	w.ungranted = w.kind > simGone && (call.attempt.by.ungranted(call.question, call.attempt.provision()) || call.attempt.overtaken())
	w.lost = s.wall.Now().Sub(call.began).Abs() > longestCall || call.gaveUp
	if ofSession && (call.path == getPath || call.path == getOrCreatePath) {
		facts.words, call.attempt.word = append(facts.words, &w), &w
		facts.answered(&w)
		s.noteMade(call, &w)
		s.tracef("  %s has an answer from %s: %s", call.attempt.name, call.path, w)
	} else if call.response != nil {
		s.noteOther(call)
	}
	close(call.done)
	synctest.Wait()
}

// noteOther takes note of an answer that tells of no session.
func (s *simulation) noteOther(call *simCall) {
	s.tracef("  %s has an answer: %d", call.path, call.response.Code)
	if made := s.made[call.question.id]; call.path == deletePath && call.response.Code == http.StatusNotFound && made != nil {
		made.forgotten = true
	}
}

// String is for the trace.
func (w simWord) String() string {
	return fmt.Sprintf("%s to %v: %s %s until %v (lie %t)", [...]string{"nothing", "gone", "good", "ended"}[w.kind], w.question, w.id, w.token, w.ends, w.lie)
}
