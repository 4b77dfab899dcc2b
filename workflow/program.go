package workflow

import (
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/belfryhq/belfry/workflow/condition"
)

// Program is a compiled definition: operations, run from the first on.
type Program struct {
	Frequency  Frequency            // never empty
	Condition  *condition.Condition // of the trigger; nil: always
	Schema     *jsonschema.Schema   // of the data; nil: any
	Ops        []Op
	Refs       []string // steps whose messages' status something asks for
	Audiences  []string // keys of those that conditions ask for
	SeesRefs   bool     // something mentions refs, or waits for what happens to a step's message
	Variables  bool     // something mentions vars
	Links      bool     // a template may name a link to the recipient's preferences
	Sends      bool     // a step sends messages
	Mails      bool     // a step sends e-mail
	Reach      bool     // something is sent to devices or connections
	Activities bool     // something mentions activities
}

// Op is one operation.
type Op struct {
	Kind OpKind
	Step string // ref of the step that it belongs to

	Condition *condition.Condition // OpTest, OpBranch; nil: always
	To        int                  // OpTest, OpBranch: where to go on if the condition is false. OpJump: where to go on
	Name      string               // OpBranch: of the branch

	Message  *MessageTemplate // OpSend
	Span     *Span            // OpDelay
	Batch    *BatchSpec       // OpBatch
	Throttle *ThrottleSpec    // OpThrottle
	Cohort   *CohortSpec      // OpCohort
	Fetch    *FetchSpec       // OpFetch
	Wait     *WaitSpec        // OpWait
	Start    *StartSpec       // OpStart
	Data     *Object          // OpUpdateData
	Update   *UpdateSpec      // OpUpdateRecipient
}

// OpKind says what an operation does. A run ends when it comes to the end of its program.
type OpKind int

const (
	OpTest            OpKind = iota // goes on with the next operation if the condition is true, else with To
	OpSend                          // renders a message and sends it
	OpDelay                         // waits
	OpBatch                         // opens or joins a batch
	OpThrottle                      // ends the run if there were too many
	OpBranch                        // OpTest for a branch: the log names the one that was taken
	OpCohort                        // jumps to the operation of a cohort
	OpJump                          // goes on with To
	OpEnd                           // ends the run
	OpFetch                         // makes a request and waits for its response
	OpWait                          // waits for an event
	OpStart                         // triggers another workflow
	OpUpdateData                    // merges into the run's data
	OpUpdateRecipient               // merges into a recipient's properties
)

// Find returns the index of the operation of a kind that belongs to a step; false if there is none.
func (p *Program) Find(kind OpKind, step string) (int, bool) {
	for i := range p.Ops {
		if p.Ops[i].Kind == kind && p.Ops[i].Step == step {
			return i, true
		}
	}
	return 0, false
}
