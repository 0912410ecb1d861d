"""The kinds of DATA: folders, archives, arrays and named sets, each as a source of records."""
