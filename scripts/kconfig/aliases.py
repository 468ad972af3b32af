def renames():
    return []
