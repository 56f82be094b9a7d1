package acceptance

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestNothingCallsMethodsByName: where the linker finds a function that does, as text/template's do, it keeps every exported
// method of every type, which costs megabytes of memory. That is why internal/secret renders templates by itself
// (docs/decisions). A dependency that is updated could bring it back.
func TestNothingCallsMethodsByName(t *testing.T) {
	if callers := callersByName(t, "./internal/acceptance/testdata/reflecting"); len(callers) == 0 {
		t.Error("the linker no longer tells which functions call methods by name: find out how it does now")
	}
	if callers := callersByName(t, "."); len(callers) > 0 {
		t.Errorf("call methods by name, so that the linker can't leave out methods: %s", strings.Join(callers, ", "))
	}
}

// callersByName are the functions of a program that call methods by names which the linker does not know.
func callersByName(t *testing.T, program string) []string {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags=-dumpdep", "-o", filepath.Join(t.TempDir(), "program"), program)
	build.Dir = root
	printed, err := build.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, printed[max(0, len(printed)-1000):])
	}
	if !bytes.Contains(printed, []byte("main.main -> ")) {
		t.Fatal("the linker printed no dependencies")
	}
	var callers []string
	for line := range strings.Lines(string(printed)) {
		from, _, _ := strings.Cut(line, " -> ")
		if name, ok := strings.CutSuffix(from, " <ReflectMethod>"); ok {
			callers = append(callers, name)
		}
	}
	slices.Sort(callers)
	return slices.Compact(callers)
}
