package connect

// descriptorLimit: handles are not limited in number here, memory is.
func descriptorLimit() uint64 { return 1 << 16 }
