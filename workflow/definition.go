package workflow

import (
	"encoding/json"
	"slices"

	"github.com/belfryhq/belfry"
	"github.com/belfryhq/belfry/workflow/calendar"
)

// Limits of a definition.
const (
	MaxSteps             = 100 // of a workflow, those in branches included
	MaxNameLength        = 255 // characters, of names, categories and tags
	MaxDescriptionLength = 1000
	MaxCategories        = 20
	MaxTags              = 20
	MaxButtons           = 5
	MaxDataTemplates     = 200       // strings with variables in the data of all steps: each costs a rendering
	MaxDefinitionSize    = 512 << 10 // bytes of JSON
	MaxProblems          = 100       // what is reported of one definition; the rest is found when these are solved
)

// Definition is a workflow as people write it.
type Definition struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Categories  []string `json:"categories,omitempty"`
	Tags        []string `json:"tags,omitempty"` // for people: they mean nothing to a run
	// A trigger starts a run only if its condition is true for the recipient. Either form, not both.
	Condition  string          `json:"condition,omitempty"`
	Conditions json.RawMessage `json:"conditions,omitempty"`
	Frequency  Frequency       `json:"frequency,omitempty"`
	// DataSchema is a JSON Schema (2020-12) that the data of triggers has to meet.
	DataSchema json.RawMessage `json:"dataSchema,omitempty"`
	Settings   Settings        `json:"settings,omitzero"`
	Steps      []Step          `json:"steps"`
}

// Settings say how preferences apply to a workflow.
type Settings struct {
	Commercial          bool `json:"commercial,omitempty"`          // advertising: it can be unsubscribed from as a whole
	OverridePreferences bool `json:"overridePreferences,omitempty"` // sent whatever people prefer
	Critical            bool `json:"critical,omitempty"`            // sent in quiet hours, too
}

// Frequency says which triggers start a run for a recipient. Spelled as in GraphQL; empty is every trigger.
type Frequency string

const (
	EveryTrigger              Frequency = "EVERY_TRIGGER"
	OncePerRecipient          Frequency = "ONCE_PER_RECIPIENT"
	OncePerRecipientAndTenant Frequency = "ONCE_PER_RECIPIENT_PER_TENANT"
)

// Step is one step of a definition. It has exactly one kind.
type Step struct {
	Ref         string `json:"ref"`
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	// The step runs if its condition is true. Either form, not both; neither is always true. Branches and batches take none.
	Condition  string          `json:"condition,omitempty"`  // an expression
	Conditions json.RawMessage `json:"conditions,omitempty"` // a condition.Group
	// SendWindows hold back what a channel step sends until the recipient's clock allows it.
	SendWindows calendar.Windows `json:"sendWindows,omitempty"`

	InApp   *InApp   `json:"inApp,omitempty"`
	Email   *Email   `json:"email,omitempty"`
	SMS     *SMS     `json:"sms,omitempty"`
	Push    *Push    `json:"push,omitempty"`
	Chat    *Chat    `json:"chat,omitempty"`
	Webhook *Webhook `json:"webhook,omitempty"`

	Delay           *Delay           `json:"delay,omitempty"`
	Batch           *Batch           `json:"batch,omitempty"`
	Throttle        *Throttle        `json:"throttle,omitempty"`
	Branch          *Branch          `json:"branch,omitempty"`
	RandomCohort    *RandomCohort    `json:"randomCohort,omitempty"`
	Fetch           *Fetch           `json:"fetch,omitempty"`
	WaitForEvent    *WaitForEvent    `json:"waitForEvent,omitempty"`
	TriggerWorkflow *TriggerWorkflow `json:"triggerWorkflow,omitempty"`
	UpdateData      *UpdateData      `json:"updateData,omitempty"`
	UpdateUser      *UpdateRecipient `json:"updateUser,omitempty"`
	UpdateObject    *UpdateRecipient `json:"updateObject,omitempty"`
	UpdateTenant    *UpdateRecipient `json:"updateTenant,omitempty"`
}

// ChannelTypes are those that the workflow sends by, wherever in its branches, in the order of belfry.ChannelTypes.
func (d *Definition) ChannelTypes() []belfry.ChannelType {
	found := map[belfry.ChannelType]bool{}
	var look func([]Step)
	look = func(steps []Step) {
		for i := range steps {
			s := &steps[i]
			for t, is := range map[belfry.ChannelType]bool{belfry.InApp: s.InApp != nil, belfry.Email: s.Email != nil, belfry.SMS: s.SMS != nil,
				belfry.Push: s.Push != nil, belfry.Chat: s.Chat != nil, belfry.Webhook: s.Webhook != nil} {
				found[t] = found[t] || is
			}
			if s.Branch != nil {
				for _, b := range s.Branch.Branches {
					look(b.Steps)
				}
				look(s.Branch.Default.Steps)
			}
			if s.RandomCohort != nil {
				for _, c := range s.RandomCohort.Cohorts {
					look(c.Steps)
				}
			}
		}
	}
	look(d.Steps)
	return slices.DeleteFunc(slices.Clone(belfry.ChannelTypes), func(t belfry.ChannelType) bool { return !found[t] })
}

// Problem is something that is wrong in a definition.
type Problem struct {
	Step    string // ref; empty if it is about the workflow as a whole
	Path    string // such as steps[0].inApp.body
	Line    int    // in the template or expression, from 1; 0 if that has no meaning
	Column  int    // in the line, from 1; 0 if it isn't known
	Message string // what to do about it
}
