package belfry

// EnvironmentID identifies an environment: the isolation boundary that owns keys, recipients, workflows and
// everything that comes of them. Every query carries one, so data of two environments can never meet.
type EnvironmentID int64
