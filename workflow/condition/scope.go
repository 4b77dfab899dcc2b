package condition

import (
	"slices"
	"strings"
)

// Scope holds the values conditions see, by root: data, recipient, actor, tenant,
// workflow, run, refs, vars, and event where [Options] allow it. Below the roots are
// map[string]any, []any, string, float64, int, json.Number, bool and nil. Other keys
// are ignored, but for [AudiencesKey].
//
// refs holds one map for every step that ran, by the step's ref. For a step that
// sends messages:
//
//	delivery_status    string: skipped, undelivered, bounced, delivery_attempted, queued,
//	                   not_sent, sent or delivered
//	engagement_status  []any of strings: seen, read, interacted, link_clicked, archived
//	status_known       bool; false when the message is older than the retention period:
//	                   conditions with a $message token are then false, negations included
//	seen, read, interacted, archived   bool, for in-app messages
//
// A step with several messages shows the one with the highest [StatusRank]. A step that
// waits for an event has matched (bool) and signal_variables (map). A step that has
// not run is absent. [Condition.Refs] says which are needed.
type Scope = map[string]any

// Options say where a condition stands, and so what it may look at.
type Options struct {
	// Event adds the root event: what an event that a run waits for carries.
	Event bool
}

const eventRoot = "event"

// rootNames are the roots every condition has.
var rootNames = []string{"data", "recipient", "actor", "tenant", "workflow", "run", "refs", "vars"}

func isRoot(name string) bool { return name == eventRoot || slices.Contains(rootNames, name) }

func (o Options) roots() string {
	names := strings.Join(rootNames, ", ")
	if o.Event {
		names += ", " + eventRoot
	}
	return names
}

const eventMisplaced = "event.* can be used only in the match conditions of a step that waits for an event; what triggered the run is in data"

// environment is what the virtual machine sees: the roots, and the state of the
// evaluation under a name that the guard keeps out of reach of authors.
type environment struct {
	Data      any         `expr:"data"`
	Recipient any         `expr:"recipient"`
	Actor     any         `expr:"actor"`
	Tenant    any         `expr:"tenant"`
	Workflow  any         `expr:"workflow"`
	Run       any         `expr:"run"`
	Refs      any         `expr:"refs"`
	Vars      any         `expr:"vars"`
	Event     any         `expr:"event"`
	Eval      *evaluation `expr:"_eval"`
}

const evalName = "_eval"

func (e *evaluation) environment() environment {
	s := e.scope
	return environment{
		Data: s["data"], Recipient: s["recipient"], Actor: s["actor"], Tenant: s["tenant"], Workflow: s["workflow"],
		Run: s["run"], Refs: s["refs"], Vars: s["vars"], Event: s[eventRoot], Eval: e,
	}
}
