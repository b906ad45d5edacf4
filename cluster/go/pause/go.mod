module onenode/pause

go 1.26.0
