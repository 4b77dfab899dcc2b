package belfry

// DefaultPreferences is the id of the preference set that everybody has. Every other set of a recipient has the id of the
// tenant in whose name it counts.
const DefaultPreferences = "default"

// PreferenceStrategy says what becomes of what is stored when preferences are written. At a node of a tenant's default it
// says whether the node outranks the recipient's own. Spelled as in GraphQL.
type PreferenceStrategy string

const (
	ReplacePreferences PreferenceStrategy = "REPLACE"
	MergePreferences   PreferenceStrategy = "MERGE"
)

// PreferenceLevel says whose preference set is meant. Spelled as in GraphQL.
type PreferenceLevel string

const (
	RecipientLevel       PreferenceLevel = "RECIPIENT"        // the recipient's set "default"
	RecipientTenantLevel PreferenceLevel = "RECIPIENT_TENANT" // the recipient's set for the tenant
	TenantLevel          PreferenceLevel = "TENANT"           // the tenant's default for everybody
	EnvironmentLevel     PreferenceLevel = "ENVIRONMENT"      // the environment's default for everybody
)

// PreferenceRule is what had a say in a decision about a message. Spelled as in GraphQL.
type PreferenceRule string

const (
	CommercialRule PreferenceRule = "COMMERCIAL"  // commercialSubscribed, of a commercial workflow
	OverrideRule   PreferenceRule = "OVERRIDE"    // the workflow doesn't ask for preferences
	MuteRule       PreferenceRule = "MUTE"        // of an object, a workflow or a category
	ChannelRule    PreferenceRule = "CHANNEL"     // the channel, or its type, wherever the message comes from
	WorkflowRule   PreferenceRule = "WORKFLOW"    // the workflow, and channels within it
	CategoryRule   PreferenceRule = "CATEGORY"    // a category of the workflow, and channels within it
	QuietHoursRule PreferenceRule = "QUIET_HOURS" // denies nothing: the message waits
)

// ChannelTypes are all media, in the order in which people list them.
var ChannelTypes = []ChannelType{InApp, Email, SMS, Push, Chat, Webhook}
