package secret

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/seam-session-operator/seam-session-operator/api/v1alpha1"
	"github.com/seam-session-operator/seam-session-operator/internal/seam"
)

// fullAnswer has every field, sparseAnswer only those that every session has.
func fullAnswer() *seam.ClientSession {
	created := time.Date(2026, 7, 31, 14, 0, 0, 0, time.FixedZone("", 2*60*60))
	expires := time.Date(2026, 8, 31, 12, 0, 0, 250e6, time.UTC)
	devices := int32(3)
	return &seam.ClientSession{
		ID: "cst1", WorkspaceID: "ws1", Token: "seam_cst1_token", CreatedAt: &created, ExpiresAt: &expires,
		UserIdentifierKey: "jane", UserIdentityID: "ui1", CustomerKey: "acme", DeviceCount: &devices,
	}
}

func sparseAnswer() *seam.ClientSession {
	return &seam.ClientSession{ID: "cst1", WorkspaceID: "ws1", Token: "seam_cst1_token"}
}

// render renders one template under the key k.
func render(template string, answer *seam.ClientSession) (string, error) {
	data, err := renderData(map[string]v1alpha1.Template{"k": v1alpha1.Template(template)}, fieldsOf(answer))
	return string(data["k"]), err
}

// eqOfTextTemplate is text/template's own eq, but for what that fails on: values of different types, which are equal if they
// render alike.
func eqOfTextTemplate(first any, others ...any) (bool, error) {
	own := template.Must(template.New("").Parse("{{ eq .First .Other }}"))
	for _, other := range others {
		var out strings.Builder
		err := own.Execute(&out, struct{ First, Other any }{first, other})
		switch {
		case err != nil && strings.Contains(err.Error(), "incompatible types for comparison"):
			out.Reset()
			fmt.Fprint(&out, fmt.Sprint(first) == fmt.Sprint(other))
		case err != nil:
			return false, err
		}
		if out.String() == "true" {
			return true, nil
		}
	}
	return false, nil
}

// renderByTextTemplate renders a template that passes the check, as Go's own text/template does.
func renderByTextTemplate(t *testing.T, source string, answer *seam.ClientSession) string {
	t.Helper()
	functions := template.FuncMap{"toJson": toJSON, "b64enc": b64enc, "eq": eqOfTextTemplate}
	parsed, err := template.New("").Funcs(functions).Parse(source)
	if err != nil {
		t.Fatalf("text/template does not parse %q: %v", source, err)
	}
	var out strings.Builder
	if err := parsed.Execute(&out, fieldsOf(answer)); err != nil {
		t.Fatalf("text/template does not execute %q: %v", source, err)
	}
	return out.String()
}

func TestTemplateRenders(t *testing.T) {
	tests := []struct{ template, full, sparse string }{
		{``, "", ""},
		{`no action`, "no action", "no action"},
		{`{{/* a comment */}}x`, "x", "x"},
		{`{{ .token }}`, "seam_cst1_token", "seam_cst1_token"},
		{`{{ .client_session_id }}`, "cst1", "cst1"},
		{`{{ .workspace_id }}`, "ws1", "ws1"},
		{`{{ .expires_at }}`, "2026-08-31T12:00:00.25Z", ""},
		{`{{ .created_at }}`, "2026-07-31T12:00:00Z", ""},
		{`{{ .user_identifier_key }}`, "jane", ""},
		{`{{ .user_identity_id }}`, "ui1", ""},
		{`{{ .customer_key }}`, "acme", ""},
		{`{{ .device_count }}`, "3", ""},
		{`TOKEN={{ .token }};`, "TOKEN=seam_cst1_token;", "TOKEN=seam_cst1_token;"},
		{"a\n{{- .customer_key -}}\nb", "aacmeb", "ab"},

		{`{{ .token | toJson }}`, `"seam_cst1_token"`, `"seam_cst1_token"`},
		{`{{ toJson .device_count }}`, "3", "null"},
		{`{"n": {{ toJson .device_count }}, "e": {{ toJson .expires_at }}}`, `{"n": 3, "e": "2026-08-31T12:00:00.25Z"}`, `{"n": null, "e": null}`},
		{`{{ toJson "<&>" }}`, `"<&>"`, `"<&>"`},
		{`{{ toJson true }} {{ toJson 1.5 }} {{ toJson (eq 1 1) }}`, "true 1.5 true", "true 1.5 true"},
		{`{{ b64enc .token }}`, "c2VhbV9jc3QxX3Rva2Vu", "c2VhbV9jc3QxX3Rva2Vu"},
		{`{{ .device_count | b64enc }}`, "Mw==", ""},
		{`{{ .token | b64enc | toJson }}`, `"c2VhbV9jc3QxX3Rva2Vu"`, `"c2VhbV9jc3QxX3Rva2Vu"`},
		{`{{ b64enc (toJson .customer_key) }}`, "ImFjbWUi", "bnVsbA=="},

		{`{{ if .expires_at }}ends{{ else }}endless{{ end }}`, "ends", "endless"},
		{`{{ if .customer_key }}c{{ else if .workspace_id }}w{{ end }}`, "c", "w"},
		{`{{ if not .customer_key }}none{{ end }}`, "", "none"},
		{`{{ if and .customer_key .token }}both{{ end }}`, "both", ""},
		{`{{ or .customer_key "nobody" }}`, "acme", "nobody"},
		{`{{ with .customer_key }}customer={{ . }}{{ else }}{{ .token }}{{ end }}`, "customer=acme", "seam_cst1_token"},
		{`{{ with .customer_key }}{{ . | toJson }}{{ else with .token }}{{ . }}{{ end }}`, `"acme"`, "seam_cst1_token"},
		{`{{ if eq .device_count 3 }}three{{ end }}`, "three", ""},
		{`{{ if eq .device_count "3" }}three{{ end }}`, "three", ""},
		{`{{ if eq .customer_key "a" "acme" }}one of them{{ end }}`, "one of them", ""},
		{`{{ eq .customer_key "" }}`, "false", "true"},
		{`{{ eq .device_count "" }}`, "false", "true"},
		{`{{ eq .customer_key .user_identity_id }}`, "false", "true"},
		{`{{ eq 0.0 -0.0 }} {{ eq -0.0 0 }} {{ eq 1 1.0 }} {{ eq 0x61 'a' }}`, "true false true true", "true false true true"},
		{`{{ eq true "true" }} {{ eq (eq 1 2) false }} {{ eq "a" "b" 1 true }}`, "true true false", "true true false"},
		{"{{ `raw` }}{{ \"\\n\" }}{{ 'a' }}{{ 0x10 }}{{ 1e3 }}", "raw\n97161000", "raw\n97161000"},
	}
	for _, test := range tests {
		t.Run(test.template, func(t *testing.T) {
			if err := CheckTemplates(map[string]v1alpha1.Template{"k": v1alpha1.Template(test.template)}); err != nil {
				t.Fatal(err)
			}
			for want, answer := range map[*string]*seam.ClientSession{&test.full: fullAnswer(), &test.sparse: sparseAnswer()} {
				if got, err := render(test.template, answer); err != nil || got != *want {
					t.Errorf("got %q, %v, want %q", got, err, *want)
				}
				if got := renderByTextTemplate(t, test.template, answer); got != *want {
					t.Errorf("text/template renders %q, want %q", got, *want)
				}
			}
		})
	}
}

func TestBytesOfTheTokenArriveAsTheyAre(t *testing.T) {
	for _, token := range []string{
		"line\nline\r\n", "nul\x00nul", "invalid\xff\xfeUTF-8", "{{ .token }}", "{{", "\"quoted\" 'single' `back`",
		"$(rm -rf /); `id` && #", "key: [value, {a: b}]\n---\n", "<script>&amp;</script>", "\u2028 日本語 🙂", strings.Repeat("x", maxValueSize),
	} {
		answer := &seam.ClientSession{ID: "cst1", Token: token}
		if got, err := render("{{ .token }}", answer); err != nil || got != token {
			t.Errorf("%.40q arrives from a template as %.40q, %v", token, got, err)
		}
		secret, err := Render(newSession(), answer)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(secret.Data["token"]); got != token {
			t.Errorf("%.40q arrives by default as %.40q", token, got)
		}
	}
}

// TestTemplateIsRefused is what a template can't do, and what the message says instead.
func TestTemplateIsRefused(t *testing.T) {
	functions := "use toJson, b64enc, eq, and, or, not"
	syntax := "use only fields, literals, parentheses, if, with, and the functions toJson"
	tests := []struct{ does, template, message string }{
		{"does not parse", `{{ .token `, "line 1: unclosed action"},
		{"does not parse in its second line", "x\n{{ .token }", `line 2: unexpected "}" in operand`},
		{"has no end", `{{ if .token }}x`, "line 1: unexpected EOF"},
		{"has an end too many", `{{ end }}`, "line 1: unexpected {{end}}"},
		{"is empty in an action", `{{ }}`, "line 1: missing value for command"},

		{"names a field that does not exist", `{{ .Token }}`, `field ".Token" does not exist: use one of .token, .client_session_id, .workspace_id, .expires_at, .user_identifier_key`},
		{"names the field of a field", `{{ .token.length }}`, `field ".token.length" does not exist, fields have no fields`},
		{"calls a method", `{{ .expires_at.Unix }}`, `field ".expires_at.Unix" does not exist, fields have no fields`},
		{"calls a method of an expression", `{{ (.expires_at).Unix }}`, "a field of an expression is not allowed: " + syntax},
		{"calls a field", `{{ .token "x" }}`, "only a function takes arguments"},
		{"pipes to a field", `{{ .token | .customer_key }}`, "only a function takes arguments or what is piped to it: " + functions},
		{"pipes to parentheses", `{{ .token | (toJson 1) }}`, "only a function takes arguments or what is piped to it: " + functions},
		{"gives a literal an argument", `{{ "a" "b" }}`, "only a function takes arguments"},
		{"shows all fields", `{{ . }}`, ". alone is allowed only inside with: name a field, .token"},
		{"shows all fields as JSON", `{{ toJson . }}`, ". alone is allowed only inside with"},
		{"names a field inside with", `{{ with .customer_key }}{{ .token }}{{ end }}`, `field ".token" is not allowed there: inside with, use . for the value; for a field, use if instead of with`},
		{"names a field inside if inside with", `{{ with .customer_key }}{{ if . }}{{ .token }}{{ end }}{{ end }}`, "is not allowed there"},

		{"loops", `{{ range .token }}x{{ end }}`, "range is not allowed: " + syntax},
		{"loops over a number", `{{ range 1000000000 }}x{{ end }}`, "range is not allowed: " + syntax},
		{"loops in an else", `{{ if .token }}{{ else }}{{ range .token }}x{{ end }}{{ end }}`, "range is not allowed"},
		{"breaks", `{{ break }}`, "line 1: {{break}} outside {{range}}"},
		{"continues", `{{ continue }}`, "line 1: {{continue}} outside {{range}}"},
		{"defines a template", `{{ define "x" }}x{{ end }}`, "define is not allowed: " + syntax},
		{"defines itself", `{{ define "line" }}x{{ end }}`, "define is not allowed: " + syntax},
		{"defines a template that calls itself", `{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`, "define is not allowed: " + syntax},
		{"calls itself", `{{ template "line" }}`, "template or block is not allowed: " + syntax},
		{"has a block", `{{ block "x" . }}x{{ end }}`, "is not allowed: " + syntax},
		{"declares a variable", `{{ $x := .token }}{{ $x }}`, `variables such as "$x" are not allowed: ` + syntax},
		{"declares a variable in if", `{{ if $x := .token }}{{ end }}`, `variables such as "$x" are not allowed`},
		{"uses the variable that text/template has", `{{ $.token }}`, `variable "$" is not allowed: ` + syntax},
		{"uses a variable that is not there", `{{ $x }}`, `line 1: undefined variable "$x"`},
		{"uses nil", `{{ eq .token nil }}`, "nil is not allowed: " + syntax},
		{"prints nil", `{{ nil }}`, "nil is not allowed: " + syntax},

		{"formats", `{{ printf "%1000000000d" 1 }}`, `function "printf" is not allowed: ` + functions},
		{"prints", `{{ print .token }}`, `function "print" is not allowed: ` + functions},
		{"prints a line", `{{ println .token }}`, `function "println" is not allowed: ` + functions},
		{"escapes for JavaScript", `{{ .token | js }}`, `function "js" is not allowed: ` + functions},
		{"escapes for HTML", `{{ .token | html }}`, `function "html" is not allowed: ` + functions},
		{"escapes for a URL", `{{ urlquery .token }}`, `function "urlquery" is not allowed: ` + functions},
		{"calls", `{{ call .token }}`, `function "call" is not allowed: ` + functions},
		{"indexes", `{{ index . "token" }}`, `function "index" is not allowed: ` + functions},
		{"slices", `{{ slice .token 1 }}`, `function "slice" is not allowed: ` + functions},
		{"measures", `{{ len .token }}`, `function "len" is not allowed: ` + functions},
		{"compares by order", `{{ if lt .device_count 3 }}{{ end }}`, `function "lt" is not allowed: ` + functions},
		{"reads the environment", `{{ env "SEAM_API_KEY" }}`, `function "env" is not allowed: ` + functions},
		{"reads the environment as other tools do", `{{ expandenv "$HOME" }}`, `function "expandenv" is not allowed: ` + functions},
		{"reads a file", `{{ file "/etc/passwd" }}`, `function "file" is not allowed: ` + functions},
		{"reads files as other tools do", `{{ (.Files.Get "x") }}`, `field ".Files.Get" does not exist`},
		{"looks up other objects", `{{ lookup "v1" "Secret" "ns" "name" }}`, `function "lookup" is not allowed: ` + functions},
		{"forbidden in parentheses", `{{ eq (len .token) 3 }}`, `function "len" is not allowed`},
		{"forbidden as an argument", `{{ eq len 3 }}`, `function "len" is not allowed`},
		{"forbidden in a condition", `{{ if len .token }}{{ end }}`, `function "len" is not allowed`},
		{"forbidden in with", `{{ with printf "x" }}{{ end }}`, `function "printf" is not allowed`},

		{"a function without arguments", `{{ toJson }}`, "function toJson takes one argument: it is given 0"},
		{"a function with too many arguments", `{{ .token | toJson .token }}`, "function toJson takes one argument: it is given 2"},
		{"eq of one value", `{{ eq .token }}`, "function eq takes at least 2 arguments: it is given 1"},
		{"and of nothing", `{{ and }}`, "function and takes at least one argument: it is given 0"},
		{"not of two values", `{{ not 1 2 }}`, "function not takes one argument: it is given 2"},
		{"a function as an argument", `{{ and toJson }}`, "function toJson as an argument must stand in parentheses"},
		{"a whole number of more than 64 bits", `{{ 18446744073709551615 }}`, "a number is complex or too large"},
		{"a complex number", `{{ toJson 1i }}`, "a number is complex or too large"},
	}
	for _, test := range tests {
		t.Run(test.does, func(t *testing.T) {
			err := CheckTemplates(map[string]v1alpha1.Template{"a": "fine", "config.json": v1alpha1.Template(test.template)})
			templateError := (*TemplateError)(nil)
			if !errors.As(err, &templateError) {
				t.Fatalf("got %v", err)
			}
			if want := `template of key "config.json": `; !strings.HasPrefix(err.Error(), want) || templateError.Key != "config.json" {
				t.Errorf("%q does not begin with %q", err, want)
			}
			if !strings.Contains(err.Error(), test.message) {
				t.Errorf("%q does not hold %q", err, test.message)
			}
			if _, rendered := render(test.template, fullAnswer()); rendered == nil {
				t.Error("it is rendered all the same")
			}
		})
	}
}

func TestTheFirstKeyInOrderIsNamed(t *testing.T) {
	for range 20 {
		err := CheckTemplates(map[string]v1alpha1.Template{"c": "{{", "b": "{{", "d": "{{", "a": "fine"})
		if err == nil || !strings.Contains(err.Error(), `key "b"`) {
			t.Fatalf("got %v", err)
		}
	}
}

// TestMessagesShowNoLiteral: what stands in a template could be secret, and what is long does not fit a condition.
func TestMessagesShowNoLiteral(t *testing.T) {
	const hidden = "hunter2"
	for _, template := range []string{
		hidden + `{{`, `{{ "` + hidden, "{{ `" + hidden, `{{ "` + hidden + `" "x" }}`, `{{ "` + hidden + `".x }}`, `{{ .token "` + hidden + `" }}`,
		`{{ eq "` + hidden + `" }}`, `{{ 1"` + hidden + `" }}`, `{{ template "` + hidden + `" }}`, `{{ define "` + hidden + `" }}{{ end }}`,
		`{{ block "` + hidden + `" . }}{{ end }}`, `{{ if }}` + hidden, `{{ .token | "` + hidden + `" }}`, `{{ '` + hidden + `' }}`, `{{ 0` + hidden + ` }}`,
		`{{ define "a" }}x{{ end }}{{ define "` + hidden + `" }}x{{ end }}{{ define "` + hidden + `" }}y{{ end }}`, `{{ with "` + hidden + `" }}{{ .token }}{{ end }}`,
		`{{ else "` + hidden + `" }}`, `{{ end "` + hidden + `" }}`, `{{ if .token }}{{ else "` + hidden + `" }}{{ end }}`, `{{ template ` + "`" + hidden + "`" + ` "x" 3 }}`,
	} {
		_, err := render(template, fullAnswer())
		if err == nil {
			t.Errorf("%s is accepted", template)
			continue
		}
		if strings.Contains(err.Error(), hidden) || strings.Contains(err.Error(), hidden[:5]) {
			t.Errorf("%s: %v", template, err)
		}
	}
	for _, template := range []string{
		`{{ .` + strings.Repeat("x", 1000) + ` }}`, `{{ ` + strings.Repeat("x", 1000) + ` }}`, `{{ $` + strings.Repeat("x", 1000) + ` }}`,
		`{{ $` + strings.Repeat("ü", 1000) + ` := 1 }}`, `{{ .` + strings.Repeat("ü", 1000) + ` }}`,
	} {
		err := CheckTemplates(map[string]v1alpha1.Template{strings.Repeat("k", 1000): v1alpha1.Template(template)})
		if err == nil || len(err.Error()) > 512 || !utf8.ValidString(err.Error()) {
			t.Errorf("%.20s: message of %d bytes: %v", template, len(fmt.Sprint(err)), err)
		}
	}
}

// TestValuesNeverShow: whatever goes wrong, the message has nothing of what Seam answered in it.
func TestValuesNeverShow(t *testing.T) {
	answer := fullAnswer()
	answer.Token = "seam_cst_" + strings.Repeat("t", 2*maxValueSize)
	for _, template := range []string{"{{ .token }}", "{{ toJson .token }}", "{{ b64enc .token }}", `{{ if eq (b64enc .token) "x" }}{{ end }}`} {
		_, err := render(template, answer)
		if err == nil || strings.Contains(err.Error(), "seam_cst") {
			t.Errorf("%s: %v", template, err)
		}
	}
}

func TestTooMuchIsRefused(t *testing.T) {
	large := &seam.ClientSession{ID: "cst1", Token: strings.Repeat("t", maxValueSize-1)}
	growing := "{{ .token" + strings.Repeat(" | toJson", 900) + " }}"
	many := map[string]v1alpha1.Template{}
	for i := range 32 {
		many[fmt.Sprint("key-", i)] = "{{ .token }}"
	}
	tests := []struct {
		situation string
		templates map[string]v1alpha1.Template
		message   string
	}{
		{"a template of more than 32 KiB", map[string]v1alpha1.Template{"k": v1alpha1.Template(strings.Repeat("x", maxTemplateSize+1))}, `key "k": is 32769 bytes long: at most 32768 are allowed`},
		{"a value of more than 64 KiB", map[string]v1alpha1.Template{"k": "{{ .token }}xx"}, "a value of more than 65536 bytes: make it smaller"},
		{"a value that each function makes larger", map[string]v1alpha1.Template{"k": v1alpha1.Template(growing)}, "a value of more than 65536 bytes: make it smaller"},
		{"a value that is never shown", map[string]v1alpha1.Template{"k": v1alpha1.Template("{{ if " + growing[2:len(growing)-2] + "}}{{ end }}")}, "a value of more than 65536 bytes: make it smaller"},
		{"32 values that are too much together", many, "the templates render to more than the 983040 bytes that fit in one Secret: use fewer or smaller ones"},
	}
	for _, test := range tests {
		t.Run(test.situation, func(t *testing.T) {
			session := newSession()
			session.Spec.Secret.Template = test.templates
			_, err := Render(session, large)
			if err == nil || !strings.Contains(err.Error(), test.message) {
				t.Fatalf("got %v, want %s", err, test.message)
			}
		})
	}
	if _, err := Render(newSession(), &seam.ClientSession{Token: strings.Repeat("t", maxValueSize+1)}); err == nil {
		t.Error("a token of more than 64 KiB is accepted by default")
	}
}

// TestDeepNesting: a template of the largest size that is all parentheses, or all if, ends.
func TestDeepNesting(t *testing.T) {
	for _, template := range []string{
		"{{" + strings.Repeat("(", 8000) + "1" + strings.Repeat(")", 8000) + "}}",
		strings.Repeat("{{if 1}}", 2000) + strings.Repeat("{{end}}", 2000),
		strings.Repeat("{{with 1}}", 1900) + strings.Repeat("{{end}}", 1900),
		"{{1" + strings.Repeat("|not", 8000) + "}}",
	} {
		if _, err := render(template, fullAnswer()); err != nil {
			t.Errorf("%.20s: %v", template, err)
		}
	}
}

// FuzzTemplate: no template panics or runs for long, and one that passes the check renders whatever Seam answers, unless
// that is too large.
func FuzzTemplate(f *testing.F) {
	for _, template := range []string{
		"{{ .token }}", `{"token": {{ toJson .token }}}`, "{{ if and .customer_key (not .expires_at) }}x{{ else }}{{ .device_count }}{{ end }}",
		"{{ with .customer_key }}{{ . | b64enc }}{{ end }}", `{{ eq .device_count 3 "x" true 1.5 'c' }}`, "{{ eq 0.0 -0.0 }}{{ .token | eq .customer_key }}",
		`{{ define "line" }}{{ end }}`,
		"{{ -0x1e5 }}{{ 0xep2 }}{{ 'e' }}{{ 1_000 }}{{ 0b11 }}{{ 1e40 }}", "{{ with or .customer_key 0.0 }}{{ not . }}{{ end }}",
		"{{ 1 | and .token | or false }}{{ with .token }}{{ with 7 }}{{ . }}{{ end }}{{ . }}{{ else with 1 }}{{ . }}{{ end }}",
		"{{ range 9 }}{{ end }}", "{{ $x := . }}{{ $x }}", "{{ (.token).x }}", "{{ or .customer_key 0x1p4 | toJson }}", "{{ 1e19 }}", "{{ 0i }}",
	} {
		f.Add(template, "seam_cst1_token", "key", int32(1))
	}
	f.Fuzz(func(t *testing.T, template, token, key string, devices int32) {
		if err := CheckTemplates(map[string]v1alpha1.Template{"k": v1alpha1.Template(template)}); err != nil {
			if len(err.Error()) > 1024 || !utf8.ValidString(err.Error()) {
				t.Fatalf("message of %d bytes: %q", len(err.Error()), err)
			}
			return
		}
		now := time.Unix(int64(devices), 0)
		for _, answer := range []*seam.ClientSession{
			{Token: token},
			{ID: key, WorkspaceID: key, Token: token, CreatedAt: &now, ExpiresAt: &now, UserIdentifierKey: key, UserIdentityID: key, CustomerKey: key, DeviceCount: &devices},
		} {
			out, err := render(template, answer)
			if len(out) > maxValueSize {
				t.Fatalf("renders %d bytes", len(out))
			}
			if err != nil {
				if !strings.Contains(err.Error(), tooLarge) {
					t.Fatalf("passes the check, but: %v", err)
				}
				continue
			}
			if want := renderByTextTemplate(t, template, answer); out != want {
				t.Fatalf("renders %q, by text/template %q", out, want)
			}
		}
	})
}

func TestEveryFieldIsKnownToTheCheck(t *testing.T) {
	fields := fieldsOf(fullAnswer())
	if len(fields) != len(fieldNames) {
		t.Errorf("%d fields, %d names", len(fields), len(fieldNames))
	}
	for name := range fields {
		if !slices.Contains(fieldNames, name) {
			t.Errorf("field %s can't be used", name)
		}
	}
}
