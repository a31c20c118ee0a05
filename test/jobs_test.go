package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mosn.io/tcpcopy/internal/program"
)

// The questions of the README's section "Questions and answers" are each one command, with
// the right answer.
func TestQuestionsAndAnswers(t *testing.T) {
	t.Parallel()
	redis := program.Require(t, "redis-server")
	s := newShop(t, buildCtl(t), redis)
	var asked, printed []string
	ask := func(format string, args ...any) string {
		t.Helper()
		line := "tcpcopyctl " + fmt.Sprintf(format, args...)
		asked = append(asked, line)
		r := s.shell(t, line).ok(t)
		t.Logf("$ %s\n%s", line, r.stdout)
		printed = append(printed, strings.Split(r.stdout, "\n")...)
		return r.stdout
	}

	// Which of 500 requests failed, and how slow was each endpoint?
	failed := tableOf(ask("calls --where failed --port %s", portOf(s.http)))
	want := [][]string{{"/checkout", "503"}}
	for _, n := range []int{5, 15} {
		want = append(want, []string{fmt.Sprint("/report/", n), "500"})
	}
	if got := failed.pick("TARGET", "STATUS"); !sameRows(got, want) {
		t.Errorf("failed are %q, want %q", got, want)
	}
	routes := tableOf(ask("calls --by route --port %s", portOf(s.http)))
	if got, want := routes.pick("ROUTE", "CALLS", "FAILED"), [][]string{
		{"/ping", "2000", "0"}, {"/user/{id}", "470", "0"}, {"/report/{id}", "20", "2"}, {"/checkout", "10", "1"},
	}; !sameRows(got, want) {
		t.Errorf("routes are %q, want %q", got, want)
	}

	// What was in the order that failed?
	order := failed.cell("TARGET", "/checkout", "CALL")
	if got := ask("show %s --request --body", order); got != lostOrder {
		t.Errorf("the order is %q, want %q", got, lostOrder)
	}
	if got := ask("show %s", order); !strings.Contains(got, `<   "error": "timeout of the payment service"`) || !strings.Contains(got, "> "+`  "cart": 4711`) {
		t.Errorf("the answer has been compressed; show prints\n%s", got)
	}

	// Which call had X-Request-Id 77?
	if got := tableOf(ask(`calls --where 'request.headers["x-request-id"] == "77"'`)); len(got.rows) != 1 || got.rows[0][got.column("TARGET")] != "/ping" {
		t.Errorf("of X-Request-Id 77 it prints %q", got)
	} else if text := ask("show %s", got.rows[0][got.column("CALL")]); !strings.Contains(text, "> X-Request-Id: 77\n") {
		t.Errorf("show prints\n%s", text)
	}
	if got := ask(`grep 'X-Request-Id: 77\r'`); strings.Count(got, "\n") != 1 {
		t.Errorf("grep prints\n%s", got)
	}

	// Which gRPC method came back with which status?
	methods := tableOf(ask("calls --by target,status --port %s", portOf(s.grpc)))
	if got, want := methods.pick("TARGET", "STATUS", "CALLS", "FAILED"), [][]string{
		{"shop.Cart/Add", "OK", "27", "0"}, {"shop.Cart/Add", "INVALID_ARGUMENT", "3", "3"}, {"shop.Cart/Checkout", "UNAVAILABLE", "2", "2"},
	}; !sameRows(got, want) {
		t.Errorf("methods are %q, want %q", got, want)
	}

	// Which Redis commands took long?
	slow := tableOf(ask(`calls --where 'protocol == "redis"' --sort latency --top 3`))
	if len(slow.rows) != 3 || slow.rows[0][slow.column("METHOD")] != "BLPOP" || slow.rows[0][slow.column("TARGET")] != "jobs" {
		t.Errorf("the slowest are %q", slow)
	}
	wrong := tableOf(ask(`calls --where 'protocol == "redis" and failed'`))
	if got, want := wrong.pick("METHOD", "TARGET", "STATUS"), [][]string{{"LPUSH", "user:1:name", "WRONGTYPE"}}; !sameRows(got, want) {
		t.Errorf("failed are %q, want %q", got, want)
	}

	// What can a colleague type to see it too?
	s.askAgain(t, ask, order)
	readmeAsks(t, asked, printed)
}

// askAgain checks the commands that send calls again, by running them.
func (s *shop) askAgain(t *testing.T, ask func(string, ...any) string, order string) {
	t.Helper()
	curl := ask("show %s --curl", order)
	if _, found := program.Find(t, "curl"); found {
		answer := s.shell(t, strings.TrimSpace(curl)+" -s -w '%{stderr}%{http_code}'")
		_, body, _ := strings.Cut(answer.stdout, "\r\n\r\n")
		if answer.code != 0 || answer.stderr != fmt.Sprint(http.StatusServiceUnavailable) || !json.Valid([]byte(body)) {
			t.Errorf("%s ends with %d and prints %q and %q", curl, answer.code, answer.stdout, answer.stderr)
		}
	}
	refused := rows[struct{ ID string }](t, s.ctl.run(t, "calls", "-o", "json", "--where", `status == "INVALID_ARGUMENT"`, s.dump))
	if len(refused) != 3 {
		t.Fatalf("%d calls were refused, want 3", len(refused))
	}
	grpcurl := ask("show %s --curl --proto shop.proto", refused[0].ID)
	for _, part := range []string{"grpcurl ", "-plaintext", `{"sku":"coffee-9"}`, `x-user: o'\''hara`, "shop.proto", s.grpc, "shop.Cart/Add"} {
		if !strings.Contains(grpcurl, part) {
			t.Errorf("the command is %s, which has no %s", grpcurl, part)
		}
	}
	sets := rows[struct{ ID, Target string }](t, s.ctl.run(t, "calls", "-o", "json", "--where", `method == "SET" and target == "user:7:name"`, s.dump))
	if len(sets) != 1 {
		t.Fatalf("%d calls set user:7:name, want 1", len(sets))
	}
	command := ask("show %s --curl", sets[0].ID)
	if _, found := program.Find(t, "redis-cli"); found {
		port := portOf(s.redis)
		if got := s.shell(t, command).ok(t).stdout; strings.TrimSpace(got) != "OK" {
			t.Errorf("%s prints %q", command, got)
		}
		if got := s.shell(t, "redis-cli -p "+port+" get user:7:name").ok(t).stdout; got != "it's \"me\" \t\n" {
			t.Errorf("after %s the value is %q", command, got)
		}
	}
}

// printedTable is a table that the tool has printed.
type printedTable struct {
	headings []string
	rows     [][]string
}

var columnGap = regexp.MustCompile(` {2,}`)

// tableOf reads a table whose cells have no two spaces in a row. The first column, which
// is aligned to the right where it has times, may begin with spaces.
func tableOf(text string) printedTable {
	var t printedTable
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		cells := columnGap.Split(strings.TrimSpace(line), -1)
		if i == 0 {
			t.headings = cells
			continue
		}
		t.rows = append(t.rows, cells)
	}
	return t
}

func (p printedTable) column(heading string) int { return slices.Index(p.headings, heading) }

// pick returns some columns of all rows.
func (p printedTable) pick(headings ...string) [][]string {
	var all [][]string
	for _, row := range p.rows {
		var cells []string
		for _, h := range headings {
			if c := p.column(h); c >= 0 && c < len(row) {
				cells = append(cells, row[c])
			}
		}
		all = append(all, cells)
	}
	return all
}

// cell returns what column has in the first row that has value in the column where.
func (p printedTable) cell(where, value, column string) string {
	for _, row := range p.rows {
		if row[p.column(where)] == value {
			return row[p.column(column)]
		}
	}
	return ""
}

// sameRows compares rows whatever their order.
func sameRows(a, b [][]string) bool {
	flat := func(rows [][]string) []string {
		var all []string
		for _, row := range rows {
			all = append(all, strings.Join(row, "\x00"))
		}
		slices.Sort(all)
		return all
	}
	return slices.Equal(flat(a), flat(b))
}

// Parts of a command that differ from one recording to the next.
var (
	callID   = regexp.MustCompile(`\b[a-z0-9]{6}-[0-9]+#[0-9]+`)
	portFlag = regexp.MustCompile(`--port [0-9]+`)
	address  = regexp.MustCompile(`127\.0\.0\.1(:| -p )[0-9]+`)
)

// readmeAsks checks that each command in the README's section is one that was asked, and
// each one that sends a call again is what was printed.
func readmeAsks(t *testing.T, asked, printed []string) {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(readme), "\n## Questions and answers\n")
	if !found {
		t.Fatal("the README has no questions and answers")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	same := func(line string) string {
		return portFlag.ReplaceAllString(callID.ReplaceAllString(line, "CALL"), "--port PORT")
	}
	var valid, again []string
	for _, line := range asked {
		valid = append(valid, same(line))
	}
	for _, line := range printed {
		again = append(again, address.ReplaceAllString(line, "LISTENER"))
	}
	shown := 0
	for _, line := range strings.Split(section, "\n") {
		command, ok := strings.CutPrefix(line, "$ ")
		if !ok {
			if program, _, _ := strings.Cut(line, " "); slices.Contains([]string{"curl", "grpcurl", "redis-cli"}, program) && !slices.Contains(again, address.ReplaceAllString(line, "LISTENER")) {
				t.Errorf("the README has %q, which was not printed", line)
			}
			continue
		}
		shown++
		if !slices.Contains(valid, same(command)) {
			t.Errorf("the README has the command %q, which this test does not run", command)
		}
	}
	if shown < 8 {
		t.Errorf("the README has %d commands, want at least 8", shown)
	}
}
