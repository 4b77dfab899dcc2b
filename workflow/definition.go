package workflow

import "encoding/json"

// Limits of a definition.
const (
	MaxSteps          = 100
	MaxNameLength     = 255 // characters, of names and categories
	MaxCategories     = 20
	MaxButtons        = 5
	MaxDataTemplates  = 200       // strings with variables in the data of all steps: each costs a rendering
	MaxDefinitionSize = 512 << 10 // bytes of JSON
	MaxProblems       = 100       // what is reported of one definition; the rest is found when these are solved
)

// Definition is a workflow as people write it.
type Definition struct {
	Name       string   `json:"name"`
	Categories []string `json:"categories,omitempty"`
	Steps      []Step   `json:"steps"`
}

// Step is one step of a definition. It has exactly one kind; for now there is one.
type Step struct {
	Ref  string `json:"ref"`
	Name string `json:"name,omitempty"`
	// The step runs if its condition is true. Either form, not both; neither is always true.
	Condition  string          `json:"condition,omitempty"`  // an expression
	Conditions json.RawMessage `json:"conditions,omitempty"` // a condition.Group

	InApp *InApp `json:"inApp,omitempty"`
}

// InApp puts a message into the recipient's feed. Its strings are Liquid templates.
type InApp struct {
	Channel   string         `json:"channel"`
	Body      string         `json:"body"`
	Format    Format         `json:"format"`
	ActionURL string         `json:"actionUrl,omitempty"`
	Buttons   []Button       `json:"buttons,omitempty"`
	Data      map[string]any `json:"data,omitempty"` // strings in it are templates, at any depth
}

// Button is a call to action.
type Button struct {
	Label  string `json:"label"`
	Action string `json:"action"`
}

// Format says how a body is to be read. Spelled as in GraphQL.
type Format string

const (
	Text     Format = "TEXT"
	Markdown Format = "MARKDOWN"
)

// Problem is something that is wrong in a definition.
type Problem struct {
	Step    string // ref; empty if it is about the workflow as a whole
	Path    string // such as steps[0].inApp.body
	Line    int    // in the template or expression, from 1; 0 if that has no meaning
	Column  int    // in the line, from 1; 0 if it isn't known
	Message string // what to do about it
}
