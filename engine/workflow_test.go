package engine

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow"
)

func TestUpsertNumbersVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for number := 1; number <= 3; number++ {
		v := w.workflow("w", step("a", "", fmt.Sprintf("body %d", number)))
		if v.Number != number || v.Environment != w.env || v.Key != "w" || !v.CreatedAt.Equal(epoch) {
			t.Errorf("version = %+v, want number %d", v, number)
		}
	}
	for number, body := range map[int]string{0: "body 3", 1: "body 1", 2: "body 2", 3: "body 3"} {
		v, err := w.Workflow(t.Context(), w.env, "w", number)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, fmt.Sprint("body of version ", number), v.Definition.Steps[0].InApp.Body, body)
	}
	_, err := w.Workflow(t.Context(), w.env, "w", 4)
	expectError(t, err, belfry.NotFound, "", 0)
	_, err = w.Workflow(t.Context(), w.env, "x", 0)
	expectError(t, err, belfry.NotFound, "", 0)
}

func TestUpsertOfTheSameStoresNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	definition := func(source string) *workflow.Definition {
		var d workflow.Definition
		if err := json.Unmarshal([]byte(source), &d); err != nil {
			t.Fatal(err)
		}
		return &d
	}
	first := definition(`{"name": "W", "steps": [{"ref": "a", "conditions": {"all": [{"variable": "data.n", "operator": "equal_to", "argument": 100}]},
		"inApp": {"channel": "in-app", "format": "TEXT", "body": "<b> & co", "data": {"x": 1, "y": ["{{ data.n }}", 9007199254740993]}}}]}`)
	same := definition(`{"steps": [{"inApp": {"data": {"y": ["{{ data.n }}", 9007199254740993], "x": 1.0}, "body": "<b> & co", "format": "TEXT", "channel": "in-app"},
		"conditions": {"all":[{"argument":1e2,"operator":"equal_to","variable":"data.n"}]}, "ref": "a"}], "name": "W"}`)
	var ids []int64
	upsert := func(d *workflow.Definition) {
		t.Helper()
		v, problems, err := w.Upsert(t.Context(), w.env, "w", d)
		if err != nil || len(problems) > 0 {
			t.Fatalf("%v %v", err, problems)
		}
		ids = append(ids, v.ID)
	}
	upsert(first)
	upsert(first)
	upsert(same)
	stored, err := w.Workflow(t.Context(), w.env, "w", 0)
	if err != nil {
		t.Fatal(err)
	}
	upsert(&stored.Definition)
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("ids = %v, want one version", ids)
	}
	// Back to an older definition is a new version: triggers in between keep theirs.
	v2 := w.workflow("w", step("a", "", "other"))
	v3, _, err := w.Upsert(t.Context(), w.env, "w", first)
	if err != nil || v2.Number != 2 || v3.Number != 3 {
		t.Errorf("numbers = %d, %d, want 2, 3 (%v)", v2.Number, v3.Number, err)
	}
}

func TestUpsertRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ok := &workflow.Definition{Name: "W", Steps: []workflow.Step{step("a", "", "x")}}
	for key, limit := range map[string]int{"": 0, "Upper": 0, "a b": 0, strings.Repeat("k", belfry.MaxKeyLength+1): belfry.MaxKeyLength} {
		code := belfry.Invalid
		if limit > 0 {
			code = belfry.TooLarge
		}
		_, _, err := w.Upsert(t.Context(), w.env, key, ok)
		expectError(t, err, code, "input.key", limit)
	}
	v, problems, err := w.Upsert(t.Context(), w.env, "w", &workflow.Definition{Name: "W", Steps: []workflow.Step{step("a", "nope(", "{{"), step("a", "", "x")}})
	if v != nil || err != nil || len(problems) != 3 {
		t.Errorf("got %v, %v, %v, want three problems", v, problems, err)
	}
	// JSON that every program reads, and jsonb does not hold.
	tiny := step("a", "", "x")
	tiny.InApp.Data = map[string]any{"n": json.Number("1e-30000")}
	_, _, err = w.Upsert(t.Context(), w.env, "w", &workflow.Definition{Name: "W", Steps: []workflow.Step{tiny}})
	expectError(t, err, belfry.Invalid, "input", 0)
	if n := one[int](w, `SELECT count(*) FROM workflows`); n != 0 {
		t.Errorf("%d workflows were stored", n)
	}
}

func TestConcurrentUpsertsGetConsecutiveNumbers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 12
	numbers := make([]int, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			v, _, err := w.Upsert(t.Context(), w.env, "w", &workflow.Definition{Name: "W", Steps: []workflow.Step{step("a", "", fmt.Sprint("body ", i))}})
			if err != nil {
				t.Error(err)
				return
			}
			numbers[i] = v.Number
			if got := v.Definition.Steps[0].InApp.Body; got != fmt.Sprint("body ", i) {
				t.Errorf("upsert %d returned %q", i, got)
			}
		})
	}
	wg.Wait()
	slices.Sort(numbers)
	for i, got := range numbers {
		if got != i+1 {
			t.Fatalf("numbers = %v", numbers)
		}
	}
	current, err := w.Workflow(t.Context(), w.env, "w", 0)
	if err != nil || current.Number != n {
		t.Errorf("current = %v, %v, want the last one", current, err)
	}
}

func TestEnvironmentsDoNotMeet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.environment("staging")
	v := w.workflow("w", step("a", "", "production"))
	_, err := w.Workflow(t.Context(), other, "w", 0)
	expectError(t, err, belfry.NotFound, "", 0)
	w.users(1)
	a := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain() // now the version is cached
	for range 2 {
		_, err = w.WorkflowVersion(t.Context(), other, v.ID)
		expectError(t, err, belfry.NotFound, "", 0)
		got, err := w.WorkflowVersion(t.Context(), w.env, v.ID)
		if err != nil || got.Number != 1 {
			t.Errorf("version = %v, %v", got, err)
		}
	}
	_, err = w.TriggerByID(t.Context(), other, a.Trigger.ID)
	expectError(t, err, belfry.NotFound, "", 0)
	_, err = w.Trigger(t.Context(), other, &Request{Workflow: "w", Recipients: refer(0, 1)})
	expectError(t, err, belfry.NotFound, "input.workflow", 0)
	mine, _, err := w.Upsert(t.Context(), other, "w", &workflow.Definition{Name: "W", Steps: []workflow.Step{step("a", "", "staging")}})
	if err != nil || mine.Number != 1 {
		t.Errorf("version = %v, %v, want a first one", mine, err)
	}
}

func TestRunsKeepTheirVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.users(1)
	w.workflow("w", step("a", "", "old"))
	before := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.workflow("w", step("a", "", "new"))
	after := w.trigger(Request{Workflow: "w", Recipients: refer(0, 1)})
	w.drain()
	expect(t, "before", w.bodies(before.Trigger.ID), map[string][]string{"u0": {"old"}})
	expect(t, "after", w.bodies(after.Trigger.ID), map[string][]string{"u0": {"new"}})
}
