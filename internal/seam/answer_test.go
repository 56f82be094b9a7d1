package seam

import (
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestRetryAfter(t *testing.T) {
	now := start.Add(500 * time.Millisecond)
	date := func(d time.Duration) string { return start.Add(d).Format(http.TimeFormat) }
	for _, test := range []struct {
		header string
		want   time.Duration
	}{
		{"", 0}, {"20", 20 * time.Second}, {" 20 ", 20 * time.Second}, {"0", 0}, {"-5", 0}, {"1.5", 0}, {"soon", 0}, {"1e3", 0},
		{"NaN", 0}, {"0x10", 0}, {"20s", 0},
		{"3600", time.Hour}, {"3601", time.Hour}, {"9223372036854775807", time.Hour}, {"99999999999999999999999", time.Hour},
		{"-99999999999999999999999", 0},
		{date(20 * time.Second), 19500 * time.Millisecond}, {date(0), 0}, {date(-time.Hour), 0}, {date(30 * 24 * time.Hour), time.Hour},
		{"Tuesday, 01-Jan-30 00:00:20 GMT", 19500 * time.Millisecond}, {"2030-01-01T00:00:20Z", 0},
		{"Fri, 31 Dec 9999 23:59:59 GMT", time.Hour}, {"Mon, 01 Jan 0001 00:00:00 GMT", 0},
	} {
		if got := retryAfter(test.header, now); got != test.want {
			t.Errorf("%q: got %s, want %s", test.header, got, test.want)
		}
	}
}

func TestErrorOfAnyShape(t *testing.T) {
	for _, test := range []struct {
		body, typ string
	}{
		{`{"error":{"type":"some_type","message":"some message"},"ok":false}`, "some_type"},
		{`{"error":{"type":"some_type","message":7,"stack":"a","data":[]}}`, "some_type"},
		{`{"error":{"type":"some_type","validation_errors":{"_errors":[],"a":{"_errors":["b"]}}}}`, "some_type"},
		{`{"error":{"type":"some_type","validation_errors":[1,"a",null]}}`, "some_type"},
		{`{"error":{"type":["some_type"],"message":"m"}}`, ""},
		{`{"error":"some_type"}`, ""},
		{`{"error":null}`, ""},
		{`["error"]`, ""},
		{`{"error":{"type":"some_type"`, ""},
		{`<html>`, ""},
		{``, ""},
	} {
		if typ := decodeError([]byte(test.body)); typ != test.typ {
			t.Errorf("%s: got %q", test.body, typ)
		}
	}
}

func TestShownType(t *testing.T) {
	secrets := []string{"seam_apikey1_token", "not"}
	for typ, want := range map[string]string{
		"unauthorized": "unauthorized", "some_type2": "some_type2",
		"client_session_not_found": "client_session_not_found", // a known one is shown whatever the key is
		"cannot_do_that":           "", "a_seam_apikey1_token": "", "seam_cst1_token": "", "Some_type": "", "some type": "",
		"2type": "", "": "", strings.Repeat("a", 64): strings.Repeat("a", 64), strings.Repeat("a", 65): "", "a\n": "",
	} {
		if got := shownType(typ, secrets); got != want {
			t.Errorf("%q: got %q, want %q", typ, got, want)
		}
	}
}

func TestShownRequestID(t *testing.T) {
	secrets := []string{"seam_apikey1_token", "jane", ""}
	for id, want := range map[string]string{
		"request1": "request1", "5c5f7a0e-7c6d-4c1e-8d5f-1e2f3a4b5c6d": "5c5f7a0e-7c6d-4c1e-8d5f-1e2f3a4b5c6d",
		"of-Jane-1": "", "x_seam_cst9_abc": "", "SEAM_CST9": "", "a b": "", "": "", strings.Repeat("a", 65): "", "a\nb": "", "a/b": "",
	} {
		if got := requestID(http.Header{"Seam-Request-Id": {id}}, secrets); got != want {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}

func TestAdviceFor401(t *testing.T) {
	for typ, want := range map[string]string{
		"unauthorized": "current", "": "current", "access_token_used_for_api_key": "workspace ID",
		"client_session_expired": "has ended", "client_session_revoked": "has ended", "client_session_not_found": "has ended",
	} {
		if kind, advice := classify(getClientSession, 401, typ); kind != Unauthorized || !strings.Contains(advice, want) {
			t.Errorf("%q: got %s, %q; want Unauthorized, %q", typ, kind, advice, want)
		}
	}
}

func TestKindHasAName(t *testing.T) {
	for kind, want := range map[Kind]string{
		Unavailable: "Unavailable", Unauthorized: "Unauthorized", Forbidden: "Forbidden", NotFound: "NotFound",
		InvalidRequest: "InvalidRequest", RateLimited: "RateLimited", InvalidResponse: "InvalidResponse", Mismatch: "Mismatch",
		99: "Kind(99)",
	} {
		if got := kind.String(); got != want || !utf8.ValidString(got) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
