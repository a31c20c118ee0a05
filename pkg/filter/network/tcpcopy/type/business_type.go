// Package _type has the business types under the first implementation's import path,
// for code that was written for it. New code uses package model.
package _type

import "mosn.io/tcpcopy/pkg/filter/network/tcpcopy/model"

// BusinessType is model.BusinessType.
type BusinessType = model.BusinessType

// The business types that the first implementation defined.
const (
	RPC           = model.RPC
	CONFIGURATION = model.CONFIGURATION
	STATE         = model.STATE
)
