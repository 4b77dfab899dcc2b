package workflow

import "github.com/belfryhq/belfry/workflow/calendar"

// Batch gathers triggers for a recipient until its window closes. The run of the first trigger goes on then, for all of
// them; the runs of the others end when they join.
type Batch struct {
	Window
	Type BatchType `json:"type,omitempty"`
	// ExtensionLimit is how long after opening a sliding window closes at the latest.
	ExtensionLimit *calendar.Duration `json:"extensionLimit,omitempty"`
	Key            string             `json:"key,omitempty"`         // a path or a template: one batch for each value
	Order          BatchOrder         `json:"order,omitempty"`       // which activities are rendered
	MaxItems       int                `json:"maxItems,omitempty"`    // closes at once when it has so many; 0: no limit
	RenderLimit    int                `json:"renderLimit,omitempty"` // activities that templates see; default 10
	LeadingFlush   bool               `json:"leadingFlush,omitempty"`
	VersionMode    VersionMode        `json:"versionMode,omitempty"`
}

// BatchType says whether later triggers move the end of a window. Spelled as in GraphQL; empty is fixed.
type BatchType string

const (
	Fixed   BatchType = "FIXED"
	Sliding BatchType = "SLIDING"
)

// BatchOrder says which activities templates see. Spelled as in GraphQL; empty is the first ones.
type BatchOrder string

const (
	FirstActivities BatchOrder = "FIRST"
	LastActivities  BatchOrder = "LAST"
)

// VersionMode says how a batch lives through a new version of its workflow. Spelled as in GraphQL; empty is latest.
type VersionMode string

const (
	Latest VersionMode = "LATEST" // goes on, and continues in the newest version that has the step
	Pinned VersionMode = "PINNED" // each version has its own
)

// Limits of a batch.
const (
	MinBatchItems      = 2
	MaxBatchItems      = 1000
	DefaultRenderLimit = 10
	MaxRenderLimit     = 100
)

// BatchSpec is a compiled Batch.
type BatchSpec struct {
	Span        *Span
	Extension   *calendar.Duration // nil: fixed
	Key         *Key               // nil: none
	Last        bool
	MaxItems    int
	RenderLimit int
	Leading     bool
	Pinned      bool
}

func (c *compiler) batch(path string, s *Step) {
	b, path := s.Batch, path+".batch"
	spec := &BatchSpec{
		Span: c.window(path, &b.Window, MaxWindow), Key: c.key(path+".key", b.Key), Last: b.Order == LastActivities,
		MaxItems: b.MaxItems, RenderLimit: b.RenderLimit, Leading: b.LeadingFlush, Pinned: b.VersionMode == Pinned,
	}
	if spec.RenderLimit == 0 {
		spec.RenderLimit = DefaultRenderLimit
	}
	c.oneOf(path+".type", string(b.Type), "", string(Fixed), string(Sliding))
	c.oneOf(path+".order", string(b.Order), "", string(FirstActivities), string(LastActivities))
	c.oneOf(path+".versionMode", string(b.VersionMode), "", string(Latest), string(Pinned))
	switch {
	case b.Type == Sliding && b.ExtensionLimit == nil:
		c.problemf(path+".extensionLimit", "a sliding window needs a limit: how long after its opening it closes at the latest")
	case b.Type == Sliding:
		c.duration(path+".extensionLimit", b.ExtensionLimit, MaxWindow)
		spec.Extension = b.ExtensionLimit
	case b.ExtensionLimit != nil:
		c.problemf(path+".extensionLimit", "only a sliding window has a limit: make type SLIDING")
	}
	if b.MaxItems != 0 && (b.MaxItems < MinBatchItems || b.MaxItems > MaxBatchItems) {
		c.problemf(path+".maxItems", "must be between %d and %d", MinBatchItems, MaxBatchItems)
	}
	if b.RenderLimit < 0 || b.RenderLimit > MaxRenderLimit {
		c.problemf(path+".renderLimit", "must be between 1 and %d", MaxRenderLimit)
	}
	c.noCondition(path, s, "a batch")
	c.emit(Op{Kind: OpBatch, Step: s.Ref, Batch: spec})
}
