list-y :=
