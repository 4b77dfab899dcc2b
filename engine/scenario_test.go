package engine

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/belfryhq/belfry/internal/egress"
)

// Scenarios are scripts in testdata/scenarios that say, case by case, what a rule of the language means: what is set up,
// what happens, and who gets which message when. They run on the real engine, a real PostgreSQL and a real HTTP server;
// only the clock is made up, and instead of feeds and providers there is a table of messages.
//
// The words of a script:
//
//	user ana timezone=Europe/Berlin email=ana@example.com {"plan": "pro"}
//	object project/p1 {"name": "Apollo"}                     also tenant acme {…}
//	variable limit 10                                        any JSON
//	prefer ana {"channelTypes": {"email": false}}            her preferences: replaced, or with "merge" merged; tenant=acme
//	default {"categories": {"news": false}}                  of everybody; of a tenant's people with tenant=acme
//	partial greeting "Hi {{ name }}"
//	workflow order                                           indented lines follow:
//	  if data.total > 10                                       the condition of the trigger
//	  when data.total greater_than 10                          the same in the structured form
//	  set {"frequency": "ONCE_PER_RECIPIENT"}                  anything else of a definition
//	  step inbox "Hi {{ recipient.name }}" if data.n == 1      an in-app step with its text
//	  step wait delay {"for": "2 hours"}                       any kind with its fields; durations as text
//	workflow broken fails steps[0].delay ~ "exactly one"     and the definition is refused there
//	trigger order to=ana,bob to.ana={"n": 2} actor=eve tenant=acme key=k1 data={"n": 1} as=t1
//	trigger order to=ana fails WORKFLOW_INACTIVE
//	cancel order key=k1 to=ana cancelled=1 finished=0
//	activate order, deactivate order
//	subscribe projects/1 by=ana,teams/a {"role": "owner"}    unsubscribe projects/1 by=ana
//	audience vips, audience pros if="recipient.plan == 'pro'"
//	join vips users=ana tenant=acme, leave vips users=ana
//	trigger order to=projects/1 audience=vips
//	claim 2                                                  a stopped engine does one transaction, of 2 runs at most
//	event ana paid {"total": 5}
//	late t1 ana paid                                         as event, for a run that stopped waiting for it a moment ago
//	mark ana inbox read                                      her newest message of that step, or one of run=t1; "all": the feed
//	respond /profile 200 {"a": 1}                            one answer of http://server; "drop" breaks the connection
//	advance 10m, at 2026-03-29T01:30:00Z                     time passes, and all that falls due on the way happens in time
//	jump 10m                                                 time passes while no engine runs
//	stop, start                                              the engine; without it nothing happens
//	expect message inbox to=ana "Hi Ana"                     the next one; ~ "part of it"; more fields follow
//	expect none                                              no other message so far
//	expect run t1 ana done
//	expect log t1 ana wait: waiting until 2026-03-29T01:30:00Z
//	expect waiting t1 ana until 2026-03-29T01:30:00Z
//	expect properties ana {"plan": "pro"}
//	expect request GET /profile?id=ana {"body": 1} header.X-A=b signed
//	expect requests 3
//	expect progress t1 recipients=3 done=2 pending=1         at least: more are to be found
//
// A trigger without a name is t1, t2, … in order; @order is the newest trigger of a workflow. An indented line goes on
// with the one above it. Each case has an environment, and begins on a Monday at nine, UTC. In the end it fails if there
// was a message that it didn't expect, or a run that failed without its knowing.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scenarios/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			runTheme(t, file)
		})
	}
}

// monday is when a case begins.
var monday = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// script is a piece of a theme: a case, or what all its cases begin with.
type script struct {
	name string
	line int // of the file, where the text begins
	text string
}

func runTheme(t *testing.T, file string) {
	background, cases := readTheme(t, file)
	shared := newWorld(t)
	shared.exec(createMailbox)
	server := newFetchServer(t)
	client := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(client.CloseIdle)
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := *shared
			w.t, w.clock = t, &clock{at: monday}
			w.env = w.environment(fmt.Sprintf("case-%d", i))
			s := newScenario(&w, file, server)
			w.Engine = w.node(func(config *Config) {
				config.Enqueue, config.Statuses, config.HTTP = s.enqueue, s.statuses, client
			})
			w.Engine.idleFloors = time.Hour // every look is a fresh one: see settle
			w.Recipients.Observe = w.RecipientsChanged
			s.run(background)
			s.run(c)
			s.end()
		})
	}
}

// readTheme splits a file into its cases.
func readTheme(t *testing.T, file string) (background script, cases []script) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	archive := txtar.Parse(b)
	line := 1 + strings.Count(string(archive.Comment), "\n")
	names := map[string]bool{}
	for _, f := range archive.Files {
		line++ // its marker
		s := script{f.Name, line, string(f.Data)}
		line += strings.Count(string(f.Data), "\n")
		name, isCase := strings.CutPrefix(f.Name, "case: ")
		switch {
		case isCase && !names[name]:
			s.name, names[name] = name, true
			cases = append(cases, s)
		case f.Name == "background":
			background = s
		default:
			t.Fatalf("%s:%d: sections are called background or case: and a name that no other has, not %q", file, s.line-1, f.Name)
		}
	}
	return background, cases
}

// statement is a line of a script that isn't indented, with the indented ones that follow.
type statement struct {
	line  int
	text  string
	lines []statement // the indented ones
}

// splitStatements splits a script. Lines that are empty or begin with # mean nothing.
func splitStatements(line int, text string) []statement {
	var out []statement
	for i, l := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(l)
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		if l[0] != ' ' && l[0] != '\t' || len(out) == 0 {
			out = append(out, statement{line: line + i, text: trimmed})
			continue
		}
		last := &out[len(out)-1]
		last.lines = append(last.lines, statement{line: line + i, text: l})
	}
	return out
}

// inner splits the indented lines of a statement in the same way.
func (s *statement) inner() []statement {
	if len(s.lines) == 0 {
		return nil
	}
	first := s.lines[0].text
	margin := len(first) - len(strings.TrimLeft(first, " \t"))
	var text strings.Builder
	at := s.lines[0].line
	for _, l := range s.lines {
		for ; at < l.line; at++ {
			text.WriteByte('\n')
		}
		text.WriteString(l.text[min(margin, len(l.text)-len(strings.TrimLeft(l.text, " \t"))):])
	}
	return splitStatements(s.lines[0].line, text.String())
}

// whole is the statement with the lines that go on with it.
func (s *statement) whole() string {
	text := s.text
	for _, l := range s.lines {
		text += "\n" + l.text
	}
	return text
}
