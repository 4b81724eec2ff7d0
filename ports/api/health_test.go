package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fanfarebus/fanfare/ports/api"
)

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w
}

// whole is an API with all its routes.
func whole(t *testing.T, n *node) http.Handler {
	t.Helper()
	a, err := api.New(&bus{}, keys{}, n, api.Config{Version: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Publishing(mux)
	a.HealthChecks(mux)
	a.Admin(mux, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("metrics")) }))
	return mux
}

func TestReadyOnlyWhenNewClientsShouldCome(t *testing.T) {
	for _, tt := range []struct {
		phase  api.Phase
		up     bool
		query  string
		status int
	}{
		{api.Ready, true, "", 200},
		{api.Ready, false, "", 200},
		{api.Ready, true, "?bus=required", 200},
		{api.Ready, false, "?bus=required", 503},
		{api.Starting, true, "", 503},
		{api.Draining, true, "", 503},
		{api.Deaf, true, "", 503},
		{api.Ready, true, "?bus=maybe", 422},
	} {
		n := &node{api.Health{Phase: tt.phase, BusUp: tt.up, Node: "n1", Systems: []string{"orders"}}}
		w := get(whole(t, n), "/readyz"+tt.query)
		if w.Code != tt.status {
			t.Errorf("%s, bus up %v, %q: %d; want %d: %s", tt.phase, tt.up, tt.query, w.Code, tt.status, w.Body)
		}
		if tt.status == 422 {
			continue
		}
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"status": string(tt.phase), "bus": map[bool]string{true: "up", false: "down"}[tt.up], "node": "n1", "systems": []any{"orders"}, "deaf": []any{}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTroubleWithTheControlTopicIsShownAndKeepsNobodyAway(t *testing.T) {
	n := &node{api.Health{Phase: api.Ready, BusUp: true, Node: "n1", ControlDown: true}}
	if w := get(whole(t, n), "/readyz"); w.Code != 200 || !strings.Contains(w.Body.String(), `"control":"down"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// One deaf system keeps the node ready for the others, except for a check that names it.
func TestReadyWhileSomeSystemsAreDeaf(t *testing.T) {
	for query, want := range map[string]struct {
		status int
		phase  string
	}{
		"":                           {200, "ready"},
		"?system=orders":             {200, "ready"},
		"?system=chat":               {503, "deaf"},
		"?system=orders,chat":        {503, "deaf"},
		"?system=orders&system=chat": {503, "deaf"},
		"?system=*":                  {503, "deaf"},
		"?system=":                   {200, "ready"},
		"?system=a%20b":              {422, ""},
		"?systems=chat":              {422, ""},
		"?System=chat":               {422, ""},
		"?system=elsewhere":          {404, ""},
	} {
		n := &node{api.Health{Phase: api.Ready, BusUp: true, Systems: []string{"chat", "orders"}, Deaf: []string{"chat"}}}
		w := get(whole(t, n), "/readyz"+query)
		var got struct {
			Status string
			Deaf   []string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); want.phase != "" && (err != nil || got.Status != want.phase || !slices.Equal(got.Deaf, []string{"chat"})) {
			t.Errorf("%q: %s, %v", query, w.Body, err)
		}
		if w.Code != want.status {
			t.Errorf("%q: %d, want %d: %s", query, w.Code, want.status, w.Body)
		}
	}
	whole := get(whole(t, &node{api.Health{Phase: api.Ready, Systems: []string{"orders"}}}), "/readyz?system=*")
	if whole.Code != 200 {
		t.Errorf("nothing is deaf: %d %s", whole.Code, whole.Body)
	}
}

func TestAliveWhateverTheNodeDoes(t *testing.T) {
	if w := get(whole(t, &node{api.Health{Phase: api.Draining}}), "/healthz"); w.Code != 200 || !strings.Contains(w.Body.String(), `"ok"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestMetricsAreServed(t *testing.T) {
	if w := get(whole(t, &node{}), "/metrics"); w.Body.String() != "metrics" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOpenAPIDescribesEveryRouteAndItsAnswers(t *testing.T) {
	w := get(whole(t, &node{}), "/openapi.json")
	var doc struct {
		OpenAPI string
		Info    struct{ Version string }
		Paths   map[string]map[string]struct {
			Responses   map[string]any
			RequestBody struct{ Content map[string]any }
		}
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") || doc.Info.Version != "v1.2.3" {
		t.Errorf("OpenAPI %s, version %s", doc.OpenAPI, doc.Info.Version)
	}
	publish := doc.Paths["/v1/systems/{system}/messages"]["post"]
	for _, status := range []string{"202", "400", "401", "403", "404", "413", "415", "422", "503"} {
		if publish.Responses[status] == nil {
			t.Errorf("publishing: %s is not described", status)
		}
	}
	if len(publish.RequestBody.Content) != 2 {
		t.Errorf("publishing takes %v", publish.RequestBody.Content)
	}
	if doc.Paths["/healthz"]["get"].Responses["200"] == nil || doc.Paths["/readyz"]["get"].Responses["503"] == nil {
		t.Error("the health routes are not described")
	}
	for _, field := range []string{"to", "data", "data_base64", "content_type", "id", "type", "time", "ttl", "headers", "traceparent", "receipt"} {
		if doc.Components.Schemas["Message"].Properties[field] == nil {
			t.Errorf("the message's field %s is not described", field)
		}
	}
	// Every reference refers to a schema that exists.
	for _, ref := range regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(w.Body.String(), -1) {
		if _, ok := doc.Components.Schemas[ref[1]]; !ok {
			t.Errorf("schema %s is missing", ref[1])
		}
	}
}

func TestDocumentationNeedsNothingFromElsewhere(t *testing.T) {
	w := get(whole(t, &node{}), "/docs")
	page, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	if strings.Contains(page, "<script") || strings.Contains(page, "//") && strings.Contains(page, "src=") {
		t.Error("the page loads something")
	}
	if !strings.HasPrefix(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	_, style, _ := strings.Cut(page, "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	if sum := sha256.Sum256([]byte(style)); !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
		t.Errorf("policy %q does not allow the page's own style", policy)
	}
	for _, want := range []string{"POST /v1/systems/{system}/messages", "GET /readyz", "user:alice", "data_base64"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
}

// What is on the page is understood there: every field and parameter has a meaning.
func TestDocumentationGivesEveryFieldAMeaning(t *testing.T) {
	page := get(whole(t, &node{}), "/docs").Body.String()
	rows := regexp.MustCompile(`(?s)<tr><th scope="row">(.*?)</th>(.*?)</tr>`).FindAllStringSubmatch(page, -1)
	if len(rows) < 100 {
		t.Fatalf("%d rows on the page", len(rows))
	}
	for _, row := range rows {
		cells := regexp.MustCompile(`(?s)<td>(.*?)(?:</td>|$)`).FindAllStringSubmatch(row[2], -1)
		if last := cells[len(cells)-1][1]; strings.TrimSpace(last) == "" {
			t.Errorf("a row without a meaning: %s", row[0])
		}
	}
	for _, want := range []string{
		"Authorization: Bearer", "fanfare_token", "fanfare.token.", "publish/SYSTEM", "presence/SYSTEM",
		"members/SYSTEM", "admin", "<code>exp</code>", `id="ws"`, `id="sse"`, "prefers-color-scheme: dark",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q on the page", want)
		}
	}
	for _, link := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if strings.Count(page, `id="`+link[1]+`"`) != 1 {
			t.Errorf("%s leads to nothing, or to several things", link[0])
		}
	}
}

// docs/protocol.md is the contract. The page names the same ops, codes and close codes.
func TestDocumentationSaysWhatTheProtocolSays(t *testing.T) {
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	_, v1, _ := strings.Cut(string(text), "\n### `fanfare.v1.json`\n")
	v1, rest, _ := strings.Cut(v1, "\n## ")
	var document struct {
		Paths map[string]map[string]struct {
			Ops []struct{ Op, From, Example string } `json:"x-ops"`
		}
	}
	w := get(whole(t, &node{}), "/openapi.json")
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	want, got := map[string]bool{}, map[string]bool{}
	for _, op := range regexp.MustCompile(`([←→]) \{"op":"([a-z]+)"`).FindAllStringSubmatch(v1, -1) {
		want[map[string]string{"←": "node ", "→": "client "}[op[1]]+op[2]] = true
	}
	for _, op := range document.Paths["/ws"]["get"].Ops {
		got[op.From+" "+op.Op] = true
		if !json.Valid([]byte(op.Example)) || !strings.Contains(op.Example, `"op":"`+op.Op+`"`) {
			t.Errorf("the example of %s is %s", op.Op, op.Example)
		}
	}
	if len(want) < 15 || !maps.Equal(want, got) {
		t.Errorf("the page has the ops\n%v; the protocol has\n%v", got, want)
	}
	fields := regexp.MustCompile(`"(retry_ms|grace_ms|reconnect|after_ms|reason|resumed|watch|up)":`)
	for _, op := range document.Paths["/ws"]["get"].Ops {
		arrow := map[string]string{"node": "←", "client": "→"}[op.From]
		first := regexp.MustCompile(arrow + ` \{"op":"` + op.Op + `".*`).FindString(v1)
		if want, got := names(fields, first), names(fields, op.Example); !maps.Equal(want, got) {
			t.Errorf("the example of %s has %v; that of the protocol has %v", op.Op, got, want)
		}
	}
	page := get(whole(t, &node{}), "/docs").Body.String()
	codes := regexp.MustCompile(`(?m)^\| ([0-9–]+) \|`).FindAllStringSubmatch(rest, -1)
	if len(codes) < 10 {
		t.Fatalf("close codes in the protocol: %v", codes)
	}
	_, shown, _ := strings.Cut(page, `aria-label="Close codes"`)
	shown, _, _ = strings.Cut(shown, "</table>")
	for _, code := range codes {
		if !strings.Contains(shown, "<code>"+code[1]+"</code>") {
			t.Errorf("no close code %s on the page", code[1])
		}
	}
	if n := strings.Count(shown, "<tbody><tr>") + strings.Count(shown, "\n<tr>"); n != len(codes) {
		t.Errorf("%d close codes on the page, %d in the protocol", n, len(codes))
	}
	_, errors, _ := strings.Cut(v1, "Codes of errors:")
	errors, _, _ = strings.Cut(errors, "which means")
	for _, code := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(errors, -1) {
		if !strings.Contains(page, code[1]) {
			t.Errorf("no error code %s on the page", code[1])
		}
	}
}

// names returns the names that a pattern's first group finds in a text.
func names(pattern *regexp.Regexp, text string) map[string]bool {
	all := make(map[string]bool)
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		all[m[1]] = true
	}
	return all
}
