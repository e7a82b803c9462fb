package listeners

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// service is the name of the Windows service that a process runs, "" for none;
// of several in one process, all of them. Listing needs no privilege.
func service(pid int32) string {
	m, err := windows.OpenSCManager(nil, nil, windows.SC_MANAGER_ENUMERATE_SERVICE)
	if err != nil {
		return ""
	}
	defer func() { _ = windows.CloseServiceHandle(m) }()
	var need, count uint32
	var buf []byte
	for range 4 { // services may start between two calls
		var at *byte
		if len(buf) > 0 {
			at = &buf[0]
		}
		err = windows.EnumServicesStatusEx(m, windows.SC_ENUM_PROCESS_INFO, windows.SERVICE_WIN32, windows.SERVICE_ACTIVE,
			at, uint32(len(buf)), &need, &count, nil, nil)
		if err == nil {
			break
		}
		if err != windows.ERROR_MORE_DATA || need > 1<<22 {
			return ""
		}
		buf = make([]byte, uint32(len(buf))+need)
	}
	if err != nil || count == 0 {
		return ""
	}
	names := ""
	for _, s := range unsafe.Slice((*windows.ENUM_SERVICE_STATUS_PROCESS)(unsafe.Pointer(&buf[0])), count) {
		if s.ServiceStatusProcess.ProcessId == uint32(pid) {
			if names != "" {
				names += ", "
			}
			names += windows.UTF16PtrToString(s.ServiceName)
		}
	}
	return cut(names)
}
