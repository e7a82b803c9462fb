// Package portlist reads and writes lists of ports as people type them:
// "1947/tcp,5093/udp,3588,8000-8100/tcp".
package portlist
