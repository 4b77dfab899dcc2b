package recipient

import (
	"slices"

	"github.com/belfryhq/belfry"
)

// MaxPreferenceRows is how many rows a preference center has at most.
const MaxPreferenceRows = 200

// PreferenceChoice is what a page shows of a node.
type PreferenceChoice struct {
	On bool
	// Conditional is whether it depends on a condition; Outranked, whether the tenant's default outranks the recipient.
	Conditional, Outranked bool
}

// ReadOnly is whether the recipient can't change it by true and false.
func (c PreferenceChoice) ReadOnly() bool { return c.Conditional || c.Outranked }

// Choice is what holds for a channel type by one rule alone: the category or workflow with that name, the channel with that
// key (then the type is left out), the channel type itself (then the key is), or advertising.
func (s PreferenceSets) Choice(rule belfry.PreferenceRule, key string, channelType belfry.ChannelType) PreferenceChoice {
	q := PreferenceQuestion{Channel: key, ChannelType: channelType}
	d := decider{PreferenceSets: s, chain: s.chain(), q: &q, out: Decision{Allowed: true}, choosing: true}
	outranked := false
	switch rule {
	case belfry.CommercialRule:
		d.commercial()
	case belfry.ChannelRule:
		d.channel()
		outranked = key != "" && replaces(s.Tenant.section(channelsKey)) || key == "" && replaces(s.Tenant.section(channelTypesKey))
	case belfry.WorkflowRule, belfry.CategoryRule:
		section := workflowsKey
		if rule == belfry.CategoryRule {
			section = categoriesKey
		}
		q.Channel = ""
		d.entry(rule, section, key)
		outranked = replaces(entryOf(s.Tenant.section(section)[key]))
	}
	return PreferenceChoice{On: d.out.Allowed, Conditional: d.conditional, Outranked: outranked}
}

// PreferenceWorkflow is what a preference center knows of a workflow.
type PreferenceWorkflow struct {
	Key, Name            string
	Categories           []string
	Commercial, Override bool
	ChannelTypes         []belfry.ChannelType // of its steps
}

// PreferenceTopic is what a row is about: all channel types (ChannelRule without a key), a channel, a category, a workflow, or
// advertising (without a key).
type PreferenceTopic struct {
	Rule  belfry.PreferenceRule
	Key   string
	Label string // what people read; empty: the workflow's name, or the key
}

// PreferenceRow is one thing to choose.
type PreferenceRow struct {
	PreferenceTopic
	PreferenceChoice                    // of all its channel types together; read-only if all of them are
	Toggles          []PreferenceToggle // by channel type, in the order of belfry.ChannelTypes; nil where that has no meaning
}

// PreferenceToggle is one channel type of a row.
type PreferenceToggle struct {
	Type belfry.ChannelType
	PreferenceChoice
	Used bool // some workflow that the row is about sends so
}

// Rows are what a page shows on which somebody chooses. topics nil: channel types, the categories of the workflows, and
// advertising if any of them is, MaxPreferenceRows at most. It is pure.
func (s PreferenceSets) Rows(topics []PreferenceTopic, workflows []PreferenceWorkflow) []PreferenceRow {
	if topics == nil {
		topics = usualTopics(workflows)
	}
	rows := make([]PreferenceRow, len(topics))
	for i, topic := range topics {
		rows[i] = s.row(topic, workflows)
	}
	return rows
}

// usualTopics are what somebody can choose who isn't asked about anything in particular.
func usualTopics(workflows []PreferenceWorkflow) []PreferenceTopic {
	topics := []PreferenceTopic{{Rule: belfry.ChannelRule}}
	var categories []string
	commercial := false
	for i := range workflows {
		w := &workflows[i]
		if w.Override && !w.Commercial { // there is nothing to choose
			continue
		}
		categories = append(categories, w.Categories...)
		commercial = commercial || w.Commercial
	}
	slices.Sort(categories)
	for _, name := range slices.Compact(categories) {
		if len(topics) < MaxPreferenceRows-1 {
			topics = append(topics, PreferenceTopic{Rule: belfry.CategoryRule, Key: name})
		}
	}
	if commercial {
		topics = append(topics, PreferenceTopic{Rule: belfry.CommercialRule})
	}
	return topics
}

func (s PreferenceSets) row(topic PreferenceTopic, workflows []PreferenceWorkflow) PreferenceRow {
	out := PreferenceRow{PreferenceTopic: topic}
	out.Label = labelOf(topic, workflows)
	if topic.Rule == belfry.CommercialRule || topic.Rule == belfry.ChannelRule && topic.Key != "" {
		out.PreferenceChoice = s.Choice(topic.Rule, topic.Key, "")
		return out
	}
	used := usedBy(topic, workflows)
	out.Conditional, out.Outranked = true, true
	readOnly := true
	for _, t := range belfry.ChannelTypes {
		choice := s.Choice(topic.Rule, topic.Key, t)
		out.On = out.On || choice.On
		out.Conditional, out.Outranked = out.Conditional && choice.Conditional, out.Outranked && choice.Outranked
		readOnly = readOnly && choice.ReadOnly()
		out.Toggles = append(out.Toggles, PreferenceToggle{Type: t, PreferenceChoice: choice, Used: slices.Contains(used, t)})
	}
	if readOnly && !out.ReadOnly() { // some for the one reason, some for the other
		out.Conditional = true
	}
	return out
}

// usedBy is how the workflows that a topic is about send.
func usedBy(topic PreferenceTopic, workflows []PreferenceWorkflow) (types []belfry.ChannelType) {
	for i := range workflows {
		w := &workflows[i]
		if w.Override { // whatever is chosen, it is sent
			continue
		}
		if topic.Rule == belfry.ChannelRule || topic.Rule == belfry.CategoryRule && slices.Contains(w.Categories, topic.Key) ||
			topic.Rule == belfry.WorkflowRule && w.Key == topic.Key {
			types = append(types, w.ChannelTypes...)
		}
	}
	return types
}

// labelOf is what people read.
func labelOf(topic PreferenceTopic, workflows []PreferenceWorkflow) string {
	switch {
	case topic.Label != "":
		return topic.Label
	case topic.Rule == belfry.ChannelRule && topic.Key == "":
		return "All messages"
	case topic.Rule == belfry.CommercialRule:
		return "Offers and news"
	case topic.Rule == belfry.WorkflowRule:
		for i := range workflows {
			if w := &workflows[i]; w.Key == topic.Key && w.Name != "" {
				return w.Name
			}
		}
	}
	return topic.Key
}
