// Package provenance says of a copy on one bus where on another bus its original
// was, and finds places of one log in another that holds copies of it.
package provenance
