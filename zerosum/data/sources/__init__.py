"""What a DATA argument can be: folders, archives, arrays, named sets; and the records that are found in it."""
