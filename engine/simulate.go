package engine

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/postgres"
	"github.com/belfryhq/belfry/recipient"
	"github.com/belfryhq/belfry/workflow"
)

// Limits of a test run.
const (
	MaxTestEvents      = 100
	MaxTestTriggers    = 100
	MaxTestSpan        = 10 * 365 * 24 * time.Hour // how long after the start something may happen
	MaxTestResumptions = 1000                      // times that runs go on behind a wait
	maxTestTime        = time.Minute               // of the machine, not of the virtual clock
	maxTestSize        = 16 << 20                  // bytes of messages and data
)

// TestRequest asks what a workflow would do: a definition, or the current version of a workflow.
type TestRequest struct {
	Definition *workflow.Definition // nil: that of Workflow
	Workflow   string               // key; the one that Definition would get, if there is one

	// Whoever is named is known, or is made up with the properties that are given. The properties of somebody known are
	// laid over what is known.
	Recipient           belfry.RecipientRef // zero: a user who is made up
	RecipientProperties map[string]any
	Actor               belfry.RecipientRef // zero: nobody
	ActorProperties     map[string]any
	Tenant              string // external id; made up if there is none
	TenantProperties    map[string]any

	Data       map[string]any
	At         time.Time               // when the virtual clock begins; zero: now
	Events     []TestEvent             // what happens meanwhile
	Responses  map[string]TestResponse // to the requests of fetch steps, by ref
	Triggers   []TestTrigger           // the same workflow again for the same recipient, as for batches
	SkipDelays bool
}

// TestEvent is something that happens at a time after the start. Of Event, At is ignored. A message event with a Step is
// about the message of that step, and changes its status. The Data of a recipient's event are properties that change.
type TestEvent struct {
	After time.Duration
	Event Event
}

// TestResponse is what a server answers.
type TestResponse struct {
	Status int    // 0: 200
	Body   string // a JSON object, or empty
}

// TestTrigger triggers the workflow again.
type TestTrigger struct {
	After           time.Duration
	Data            map[string]any
	Actor           belfry.RecipientRef // zero: nobody
	ActorProperties map[string]any
}

// TestResult is what the workflow would do.
type TestResult struct {
	TestRun
	Others   []TestRun          // the runs of the further triggers, in the order in which they happen
	Problems []workflow.Problem // why the definition can't be run; nothing else is set then
}

// TestRun is what became of a run.
type TestRun struct {
	Status   Status
	Log      []LogEntry // At is set everywhere, Message nowhere
	Messages []TestMessage
	Fetches  []TestFetch
	Duration time.Duration // of the virtual clock, until it ended
}

// TestMessage is a message that the run would send.
type TestMessage struct {
	Step    string
	Channel string // key
	Type    belfry.ChannelType
	Content belfry.Content
	At      time.Time
	SendAt  time.Time // not before this; zero: at once
}

// TestFetch is a request that the run would make.
type TestFetch struct {
	Step    string
	Request belfry.Request
	At      time.Time
}

// Test runs a workflow without any effect: nothing is written, sent or requested. It reads who the recipient is, and then
// takes the run through its program in memory, by a virtual clock that jumps from one thing that happens to the next.
//
// What depends on what else has happened to the recipient isn't known: the frequency lets pass, throttles and batches are
// new. Preferences are those that are stored. Whether channels and providers would let a message out is decided behind the
// run, and not here.
func (e *Engine) Test(ctx context.Context, env belfry.EnvironmentID, request *TestRequest) (*TestResult, error) {
	r := *request
	if err := r.validate(e.now()); err != nil {
		return nil, err
	}
	s := newSimulation(e, env, &r)
	var problems []workflow.Problem
	if err := inTestTime(ctx, func(ctx context.Context) (err error) {
		if problems, err = s.compile(ctx); err != nil || len(problems) > 0 {
			return err
		}
		if err := s.load(ctx); err != nil {
			return err
		}
		return s.play(ctx)
	}); err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return &TestResult{Problems: problems}, nil
	}
	result := &TestResult{TestRun: s.runs[0].TestRun}
	for _, r := range s.runs[1:] {
		result.Others = append(result.Others, r.TestRun)
	}
	return result, nil
}

// inTestTime bounds how long a test run takes. What fails because that is over says so.
func inTestTime(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, maxTestTime, belfry.Errorf(belfry.Invalid, "the test run takes longer than %s", maxTestTime))
	defer cancel()
	err := do(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// validate checks everything that can be checked without the database, and fills in defaults.
func (r *TestRequest) validate(now time.Time) error {
	if r.Definition == nil && r.Workflow == "" {
		return belfry.Errorf(belfry.Invalid, "say what to test: a definition, or a workflow by its key").At("input.workflow")
	}
	if r.Workflow == "" {
		r.Workflow = "test"
	}
	if err := belfry.ValidateKey(r.Workflow, "input.workflow"); err != nil {
		return err
	}
	if r.At.IsZero() {
		r.At = now
	}
	r.At = storable(r.At)
	if y := r.At.Year(); y < 1970 || y > 9000 { // what follows needs a timestamp, too
		return belfry.Errorf(belfry.Invalid, "must be between 1970 and 9000").At("input.at")
	}
	if len(r.Events) > MaxTestEvents {
		return belfry.Beyond("input.events", MaxTestEvents, "events")
	}
	if len(r.Triggers) > MaxTestTriggers {
		return belfry.Beyond("input.triggers", MaxTestTriggers, "further triggers")
	}
	if len(r.Responses) > workflow.MaxSteps {
		return belfry.Beyond("input.responses", workflow.MaxSteps, "responses")
	}
	for i := range r.Events {
		if err := r.Events[i].validate(fmt.Sprintf("input.events[%d]", i)); err != nil {
			return err
		}
	}
	for i := range r.Triggers {
		field := fmt.Sprintf("input.triggers[%d]", i)
		if err := validAfter(r.Triggers[i].After, field); err != nil {
			return err
		}
	}
	return nil
}

func (e *TestEvent) validate(field string) error {
	switch e.Event.Type {
	case workflow.MessageEvent, workflow.WorkflowEvent, workflow.RecipientEvent, workflow.CustomEvent:
	default:
		return belfry.Errorf(belfry.Invalid, "must be MESSAGE, WORKFLOW, RECIPIENT or CUSTOM").At("%s.type", field)
	}
	if e.Event.Name == "" {
		return belfry.Errorf(belfry.Invalid, "name the event").At("%s.name", field)
	}
	if _, err := encodeObject(e.Event.Data, field+".data"); err != nil {
		return err
	}
	if e.Event.Type == workflow.RecipientEvent {
		identity := recipient.Identity{RecipientRef: belfry.User("test"), Properties: e.Event.Data}
		if err := identity.Validate(field + ".data"); err != nil {
			return err
		}
	}
	return validAfter(e.After, field)
}

func validAfter(d time.Duration, field string) error {
	if d < 0 || d > MaxTestSpan {
		return belfry.Errorf(belfry.Invalid, "must be between 0 and %d days after the start", MaxTestSpan/(24*time.Hour)).At("%s.after", field)
	}
	return nil
}

// compile finds the version to test. Problems mean that there is none.
func (s *simulation) compile(ctx context.Context) ([]workflow.Problem, error) {
	r, e := s.request, s.engine
	s.version = &version{Version: Version{Environment: s.env, Key: r.Workflow, Active: true}}
	if r.Definition != nil {
		partials, err := e.Partials(ctx, s.env)
		if err != nil {
			return nil, err
		}
		s.version.Definition, s.version.Partials = *r.Definition, partials
	} else {
		stored, err := e.Workflow(ctx, s.env, r.Workflow, 0)
		if err != nil {
			return nil, err
		}
		s.version.Version = *stored
	}
	var problems []workflow.Problem
	if s.version.program, problems = workflow.Compile(&s.version.Definition, s.version.Partials); len(problems) > 0 {
		return problems, nil
	}
	return nil, s.decodeData()
}

// decodeData makes the data what they would be, had they been stored, and holds them against the workflow's schema.
func (s *simulation) decodeData() error {
	decoded := func(data map[string]any, field string) (map[string]any, error) {
		if data == nil {
			data = map[string]any{}
		}
		b, err := encodeObject(data, field)
		if err != nil {
			return nil, err
		}
		if data, err = decodeObject(b); err != nil {
			return nil, err
		}
		if violations := s.version.program.Violations(data); len(violations) > 0 {
			return nil, &SchemaError{Violations: violations}
		}
		return data, nil
	}
	var err error
	if s.request.Data, err = decoded(s.request.Data, "input.data"); err != nil {
		return err
	}
	s.request.Triggers = append([]TestTrigger(nil), s.request.Triggers...)
	for i := range s.request.Triggers {
		t := &s.request.Triggers[i]
		d := draft{field: fmt.Sprintf("input.triggers[%d]", i)}
		if t.Data, err = decoded(t.Data, d.field+".data"); err != nil {
			if err := d.refuse(err); err != nil {
				return err
			}
			return d.err
		}
	}
	return nil
}

// snapshot reads people into the simulation: those that are known.
func (s *simulation) snapshot(ctx context.Context, refs []belfry.RecipientRef) error {
	var ids map[belfry.RecipientRef]belfry.RecipientID
	if err := postgres.InSnapshot(ctx, s.engine.Pool, func(tx pgx.Tx) (err error) {
		ids, err = s.engine.Recipients.Find(ctx, tx, s.env, refs)
		return err
	}); err != nil {
		return fmt.Errorf("find recipients: %w", err)
	}
	var wanted []belfry.RecipientID
	for ref, id := range ids {
		s.ids[ref], wanted = id, append(wanted, id)
	}
	people, err := s.engine.Recipients.Load(ctx, s.env, wanted)
	if err != nil {
		return fmt.Errorf("load recipients: %w", err)
	}
	for id, person := range people {
		s.people[id] = person
	}
	if s.reach == nil {
		s.reach = map[belfry.RecipientID]reach{}
	}
	found, err := s.engine.Recipients.Reach(ctx, s.env, wanted)
	if err != nil {
		return fmt.Errorf("load channel data: %w", err)
	}
	maps.Copy(s.reach, found)
	return nil
}
