package conformance_test

import (
	"os"
	"strings"
	"testing"
)

// docs/transports.md shows toy_test.go, as it is here.
func TestTheDocumentedDriverIsTheOneThatIsTested(t *testing.T) {
	doc, err := os.ReadFile("../../docs/transports.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("toy_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(code), "// A toy is")
	if !strings.Contains(string(doc), "```go\n// A toy is"+body+"```\n") {
		t.Error("docs/transports.md shows another driver than toy_test.go: copy it from \"// A toy is\" on")
	}
}
